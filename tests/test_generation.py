"""Settings of `generate`: whose count, how long answers get, streaming, sampling."""

import threading

import hub_folders
import pytest
import torch
import transformers
from pipe_tools import generating, heard
from sentencepiece import sentencepiece_model_pb2
from transformers import TextIteratorStreamer

from pipelines import UserError, pipeline


def test_settings_of_the_call_over_the_pipeline_over_the_checkpoint(tiny_t5):
    def asked(pipe, *names, **options):
        with generating(pipe) as used:
            pipe("No.", **options)
        return tuple(used.get(name) for name in names)

    lengths = ("max_length", "max_new_tokens")
    plain = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu")
    assert asked(plain, "num_beams", *lengths) == (2, 60, None)
    made = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu", num_beams=3, max_new_tokens=7)
    assert asked(made, "num_beams", *lengths) == (3, None, 7)
    assert asked(made, "num_beams", *lengths, num_beams=1) == (1, None, 7)
    assert asked(made, *lengths, max_length=5) == (5, None)
    own = transformers.GenerationConfig(max_new_tokens=4, num_beams=1, decoder_start_token_id=0)
    (config,) = asked(made, "generation_config", generation_config=own)
    assert (config.num_beams, config.max_new_tokens, config.max_length) == (1, 4, None)
    other = pipeline("text2text-generation", model=tiny_t5, device="cpu")
    assert asked(other, "num_beams", max_length=3) == (4,)  # transformers 4's default where nobody sets it


def test_lengths_are_set_without_warnings(translator, english, recwarn, caplog):
    (short,) = translator(english[3], max_new_tokens=3, return_tensors=True)
    assert len(short["translation_token_ids"]) <= 4
    (short,) = translator(english[3], max_length=3, return_tensors=True)
    assert len(short["translation_token_ids"]) <= 3
    assert not caplog.text and not [w for w in recwarn if "max_" in str(w.message)]


def test_without_any_limit_the_source_sets_one_for_each_row_of_a_batch(translator, english):
    translator._settings, translator._generate_kwargs, translator._length = {}, {}, (9, 0.5)
    endless = {"suppress_tokens": [translator.tokenizer.eos_token_id], "forced_eos_token_id": 7, "return_tensors": True}
    english = english[:4]
    sources = [len(translator.tokenizer(translator.prefix + text)["input_ids"]) for text in english]
    for beams in (1, 3):
        batch = translator(english, batch_size=3, num_beams=beams, **endless)
        for output, text, source in zip(batch, english, sources, strict=True):
            ids = output["translation_token_ids"]
            assert len(ids) == 1 + max(9, source // 2) and ids[-1] == 7
            assert torch.equal(ids, translator(text, num_beams=beams, **endless)[0]["translation_token_ids"])
    assert len({len(output["translation_token_ids"]) for output in batch}) > 2


def test_a_checkpoint_can_set_a_lower_one(translator, english, monkeypatch):
    settings = {"translation_en_to_fr": {"answer_limit": [3, 0.25]}}
    monkeypatch.setattr(translator.model.config, "task_specific_params", settings)
    pipe = pipeline("translation_en_to_fr", model=translator.model, tokenizer=translator.tokenizer, device="cpu")
    text = max(english, key=len)
    source = len(pipe.tokenizer(pipe.prefix + text)["input_ids"])
    (output,) = pipe(text, suppress_tokens=[pipe.tokenizer.eos_token_id], return_tensors=True)
    assert len(output["translation_token_ids"]) == 1 + source // 4 > 1 + 3


def test_an_answer_cut_by_a_limit_nobody_asked_for_is_told_once(translator, english, monkeypatch, caplog):
    end = translator.tokenizer.eos_token_id
    translator(english[:4], suppress_tokens=[end])
    assert not caplog.text  # the caller set the limit
    monkeypatch.setattr(translator, "_generate_kwargs", {})
    monkeypatch.setattr(translator, "_settings", {"max_length": 6, "num_beams": 1})
    translator(english[:4], suppress_tokens=[end])
    translator(english[0], suppress_tokens=[end])
    assert caplog.text.count("may stop short") == 1


def test_stop_sequence_and_sampling(translator, english):
    (whole,) = translator(english[3], num_beams=1, return_tensors=True)
    ids = whole["translation_token_ids"].tolist()
    stop = next(i for i in ids[3:] if translator.tokenizer.decode([i]).strip())
    piece = translator.tokenizer.convert_ids_to_tokens(stop)
    if translator.tokenizer.encode(piece, add_special_tokens=False)[:1] == [stop]:
        (cut,) = translator(english[3], num_beams=1, stop_sequence=piece, return_tensors=True)
        assert cut["translation_token_ids"].tolist() == ids[: ids.index(stop) + 1]
    torch.manual_seed(1)
    drawn = translator(english[3], do_sample=True, num_beams=1, num_return_sequences=4)
    assert len({record["translation_text"] for record in drawn}) > 1


def test_streamer(translator, english):
    streamer = TextIteratorStreamer(translator.tokenizer, skip_special_tokens=True, timeout=60)
    thread = threading.Thread(target=translator, args=(english[3],), kwargs={"streamer": streamer, "batch_size": 1})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == translator(english[3], num_beams=1)[0]["translation_text"] != ""


def test_multilingual_models_are_told_the_languages(english, french):
    pieces = sentencepiece_model_pb2.ModelProto.FromString(hub_folders.spiece(english + french, 200)).pieces[3:]
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = transformers.MBartTokenizer(vocab=special + [(piece.piece, piece.score) for piece in pieces])
    sizes = {"d_model": 32, "max_position_embeddings": 128}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": 1, f"{side}_ffn_dim": 32, f"{side}_attention_heads": 2}
    torch.manual_seed(0)
    model = transformers.MBartForConditionalGeneration(transformers.MBartConfig(vocab_size=len(tokenizer), **sizes))
    settings = {"model": model, "tokenizer": tokenizer, "device": "cpu", "max_new_tokens": 5, "return_tensors": True}
    pipe = pipeline("translation", src_lang="en_XX", tgt_lang="fr_XX", **settings)
    with heard(pipe) as texts:
        outputs = pipe(english[:4], batch_size=3)
    code = tokenizer.convert_tokens_to_ids
    assert all(text[-1] == code("en_XX") for text in texts)
    assert [output["translation_token_ids"][1] for output in outputs] == [code("fr_XX")] * 4
    (romanian,) = pipe(english[0], tgt_lang="ro_RO")
    assert romanian["translation_token_ids"][1] == code("ro_RO")
    for task in ("translation", "translation_en_to_fr"):
        with pytest.raises(UserError, match="en_XX|ar_AR"):
            pipeline(task, **settings)(english[0])
