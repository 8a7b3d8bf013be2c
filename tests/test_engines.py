"""Other runtimes answer as torch does, through whole pipelines on ragged texts; and what they can't do, torch does."""

import importlib.util
import logging
from types import SimpleNamespace

import pytest
import torch
from engine_tools import both, needs, untouched

from pipelines import UserError, engines, pipeline
from tasks import load

# --- text to text, and text that goes on: CTranslate2 ---


@needs["ctranslate2"]
def test_greedy_answers_are_torchs_token_for_token(tiny_t5, english, french):
    options = {"num_beams": 1, "max_length": None, "min_new_tokens": 8, "max_new_tokens": 20}
    ours, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", **options, return_tensors=True)
    texts = english + french + ["", " ", " ".join(english[:6])]
    pad = ours.model.config.pad_token_id
    expected = [_bare(record, pad) for record in ours(texts)]
    assert len(set(map(str, expected))) > 3  # answers that differ, or this proves nothing
    for size in (1, 5, 64):
        assert [_bare(record, pad) for record in theirs(texts, batch_size=size)] == expected
    assert untouched(theirs)


def _bare(record: dict, pad: int) -> list[int]:
    """The ids of an answer, without padding behind."""
    ids = record["translation_token_ids"].tolist()
    while len(ids) > 1 and ids[-1] == pad:
        ids = ids[:-1]
    return ids


@needs["ctranslate2"]
@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3, "early_stopping": True},
        {"num_beams": 3, "early_stopping": True, "num_return_sequences": 3},
        {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0},
        {"num_beams": 4, "early_stopping": True, "no_repeat_ngram_size": 2, "renormalize_logits": True},
        {"num_beams": 1, "min_new_tokens": 12, "temperature": 0.5, "top_k": 3},  # of sampling, which this isn't
        {"num_beams": 1, "max_new_tokens": 3},
        {"num_beams": 1, "no_repeat_ngram_size": 2},
    ],
    ids=str,
)
def test_settings_of_generate_hold(tiny_t5, english, options):
    ours, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", max_new_tokens=16)
    assert theirs(english, batch_size=5, **options) == ours(english, batch_size=5, **options)
    assert untouched(theirs)


@pytest.fixture(scope="module")
def tiny_marian(tmp_path_factory, english, french):
    """As OPUS models are: the embedding of padding, which the decoder starts with, is zero."""
    import hub_folders
    from transformers import MarianMTModel

    folder = hub_folders.marian(tmp_path_factory.mktemp("models") / "marian", english, french)
    model = MarianMTModel.from_pretrained(folder)
    with torch.no_grad():
        model.model.shared.weight[model.config.pad_token_id] = 0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_bart(tmp_path_factory, piece_tokenizer):
    import copy

    from conftest import _saved
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = copy.deepcopy(piece_tokenizer)
    tokenizer.bos_token = "▁I"
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in SIZES.items()}
    settings = {"vocab_size": len(tokenizer), "d_model": 32, "max_position_embeddings": 64, "scale_embedding": True}
    first = tokenizer.bos_token_id
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 1, "forced_bos_token_id": first}
    torch.manual_seed(1)
    model = BartForConditionalGeneration(BartConfig(**sizes, **settings, **ids, bos_token_id=first, init_std=0.3))
    with torch.no_grad():
        model.final_logits_bias.normal_()
    return _saved(tmp_path_factory.mktemp("models") / "bart", model.eval(), tokenizer)


SIZES = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}


@needs["ctranslate2"]
@pytest.mark.parametrize("model", ["tiny_marian", "tiny_bart"])
@pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 4, "early_stopping": True}], ids=str)
def test_marian_and_bart_answer_as_in_torch(request, model, english, options):
    folder = request.getfixturevalue(model)
    limits = {"max_length": None, "max_new_tokens": 14, "min_new_tokens": 7, "renormalize_logits": True}
    ours, theirs = both("translation_en_to_fr", folder, "ctranslate2", **limits, **options)
    ours._forced, theirs._forced = {}, {}  # an end that is forced on one of several beams is torch's
    for pipe in (ours, theirs):
        pipe.model.generation_config.forced_eos_token_id = None
    expected = ours(english)
    assert len(set(map(str, expected))) > 2
    assert theirs(english, batch_size=5) == expected and untouched(theirs)


@needs["ctranslate2"]
def test_a_marian_whose_padding_means_something_is_refused(tmp_path, english, french):
    import hub_folders

    folder = hub_folders.marian(tmp_path / "marian", english, french)
    with pytest.raises(UserError, match="its padding, which the decoder starts with, has an embedding"):
        pipeline("translation_en_to_fr", model=folder, engine="ctranslate2", device="cpu")


@needs["ctranslate2"]
def test_each_answer_has_its_own_limit(tiny_t5, english):
    """Without a limit of the caller's or the checkpoint's, a source's length sets one: long ones a longer one."""
    ours, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", num_beams=1, max_length=None)
    for pipe in (ours, theirs):
        pipe._length = [4, 0.5]
    assert theirs(english, batch_size=12) == ours(english, batch_size=12) and untouched(theirs)


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory):
    import complete_models

    folder = tmp_path_factory.mktemp("models") / "gpt2"
    complete_models.model("gpt2", len(complete_models.tokenizer())).save_pretrained(folder)
    complete_models.tokenizer().save_pretrained(folder)
    return folder


@needs["ctranslate2"]
@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 7},
        {"max_length": 20},
        {"max_new_tokens": 12, "min_new_tokens": 12},
        {"max_new_tokens": 9, "num_beams": 3, "early_stopping": True, "num_return_sequences": 2},
    ],
    ids=str,
)
def test_texts_go_on_as_in_torch(tiny_gpt2, english, options):
    ours, theirs = both("text-generation", tiny_gpt2, "ctranslate2", do_sample=False)
    prompts = [text[: 3 + 4 * i] for i, text in enumerate(english[:5])]
    assert len(ours.tokenizer(prompts[-1])["input_ids"]) > len(ours.tokenizer(prompts[0])["input_ids"])
    # max_length counts what a prompt is padded with, in both
    assert theirs(prompts, batch_size=5, **options) == ours(prompts, batch_size=5, **options)
    assert untouched(theirs)


@needs["ctranslate2"]
def test_suggestions_are_torchs_with_a_line(tiny_gpt2, english, caplog):
    ours, theirs = both("text-generation", tiny_gpt2, "ctranslate2")
    assert theirs.suggest(english[0][:5]) == ours.suggest(english[0][:5])
    assert sum("torch does the rest" in record.message for record in caplog.records) == 1


@needs["ctranslate2"]
def test_what_it_has_no_equal_for_torch_answers_with_a_line(tiny_t5, english, caplog):
    ours, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", max_new_tokens=6)
    for options, word in (
        ({"do_sample": True, "num_beams": 1}, "do_sample"),
        ({"repetition_penalty": 1.5}, "repetition"),
    ):
        answers = []
        for pipe in (ours, theirs):
            torch.manual_seed(0)
            answers.append(pipe(english[:3], **options))
        assert answers[0] == answers[1]
        assert [word in record.message for record in caplog.records].count(True) == 1
    theirs(english[0], repetition_penalty=1.5)
    assert sum("repetition" in record.message for record in caplog.records) == 1


@needs["ctranslate2"]
@pytest.mark.parametrize(
    "options, same",
    [({"early_stopping": False}, "early_stopping=True"), ({"no_repeat_ngram_size": 2}, "renormalize_logits=True")],
)
def test_a_beam_search_that_differs_says_how(tiny_t5, english, caplog, options, same):
    """The two ways in which its search is another one: it does what the setting that the line names would do."""
    ours, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", max_new_tokens=10, num_beams=3)
    usual = {"early_stopping": True} | options
    name, _, value = same.partition("=")
    assert theirs(english[:4], **usual) == ours(english[:4], **usual | {name: value == "True"})
    assert sum(same in record.message for record in caplog.records) == 1 and untouched(theirs)


@needs["ctranslate2"]
def test_int8_answers_all_and_alike_in_a_batch(tiny_t5, english):
    _, theirs = both("translation_en_to_fr", tiny_t5, "ctranslate2", "int8", max_new_tokens=6)
    assert theirs.model._runtime.compute_type.startswith("int8") and theirs.model.precision == "int8"
    texts = english + [""]
    assert theirs(texts, batch_size=13) == [theirs(text)[0] for text in texts]
    assert sum(p.numel() for p in theirs.model.parameters()) == theirs.model.torch_model.num_parameters()


@needs["ctranslate2"]
def test_on_the_command_line(run, tiny_t5):
    arguments = ("I am happy", "--model", tiny_t5, "--max-new-tokens", "5", "--num-beams", "1", "--device", "cpu")
    status, lines, _ = run(load("translate"), *arguments, "--engine", "ctranslate2")
    assert status == 0 and len(lines) == 1
    status, lines, err = run(load("translate"), *arguments, "--engine", "onnx")
    assert status == 2 and lines == [] and "engine 'onnx'" in err and len(err.splitlines()) == 1


# --- which one, and what if not ---


def fresh():
    """The module as it is without the tests' own settings."""
    spec = importlib.util.find_spec("pipelines.engines")
    module = importlib.util.module_from_spec(spec)
    import sys

    before, sys.modules[spec.name] = sys.modules[spec.name], module  # a dataclass looks its module up
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules[spec.name] = before
    return module


def test_auto_names_engines_that_run_what_it_gives_them():
    auto = fresh().AUTO
    assert ("text2text", "t5") in auto and ("question_answering", "bert") in auto
    for (shape, kind), engine in auto.items():
        about = SimpleNamespace(type="cpu"), SimpleNamespace(model_type=kind)
        checkpoint = engines.Checkpoint("x", {}, about[1], shape, "", about[0], None, None)
        assert engines.why_not(engine, checkpoint) == ""


def test_auto_goes_back_to_torch_with_a_line(tiny_t5, monkeypatch, caplog, english):
    monkeypatch.setitem(engines.AUTO, ("text2text", "t5"), "ctranslate2")
    monkeypatch.setattr(engines, "installed", lambda package: False)
    with caplog.at_level(logging.INFO, "pipelines"):
        pipe = pipeline("translation", model=tiny_t5, device="cpu")
    assert isinstance(pipe.model, torch.nn.Module)
    (record,) = [record for record in caplog.records if "ctranslate2" in record.message]
    assert "duet[fast]" in record.message and record.levelno == logging.INFO


@needs["ctranslate2"]
def test_auto_takes_what_was_measured(tiny_t5, tiny_lstm_seq2seq, monkeypatch, english, caplog):
    """... and gives torch the calls that would be answered otherwise, without a warning."""
    monkeypatch.setitem(engines.AUTO, ("text2text", "t5"), "ctranslate2")
    auto = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu", max_new_tokens=8)
    assert auto.model.engine == "ctranslate2"
    ours = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu", engine="torch", max_new_tokens=8)
    assert auto(english) == ours(english) and not untouched(auto)  # its beams don't stop early
    assert not caplog.records
    for options in ({"dtype": "bfloat16"}, {"dtype": "auto"}, {"device_map": "cpu"}):
        assert isinstance(pipeline("translation", model=tiny_t5, **options).model, torch.nn.Module)
    assert isinstance(pipeline("translation", model=tiny_lstm_seq2seq, device="cpu").model, torch.nn.Module)


@needs["ctranslate2"]
def test_bundled_checkpoints_that_were_measured_run_in_int8(tiny_bert, monkeypatch, tmp_path):
    from pipelines import hub

    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    for name in ("sentiment-bert", "another-bert"):
        (tmp_path / name).symlink_to(tiny_bert)
    for name, dtype, precision in (
        ("sentiment-bert", None, "int8"),
        ("sentiment-bert", "float32", "float32"),
        ("another-bert", None, "float32"),  # not measured
        ("another-bert", "int8", "int8"),
    ):
        pipe = pipeline("sentiment", model=tmp_path / name, dtype=dtype, engine="ctranslate2", device="cpu")
        assert pipe.model.precision == precision


def test_the_checkpoints_for_int8_are_bundled():
    from pathlib import Path

    import pipelines

    there = {folder.parent.name for folder in Path(pipelines.__file__).parent.glob("checkpoints/*/config.json")}
    assert engines.INT8 and set(engines.INT8) <= there


@needs["ctranslate2"]
def test_auto_is_torch_where_nothing_can_be_kept(tiny_t5, monkeypatch, tmp_path):
    monkeypatch.setitem(engines.AUTO, ("text2text", "t5"), "ctranslate2")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DUET_CACHE", str(tmp_path / "file"))  # no folder can be made in it
    assert isinstance(pipeline("translation", model=tiny_t5, device="cpu").model, torch.nn.Module)
    with pytest.raises(UserError, match="engine 'ctranslate2' can't run"):
        pipeline("translation", model=tiny_t5, device="cpu", engine="ctranslate2")


def test_what_is_not_installed_is_one_line(tiny_t5, monkeypatch):
    monkeypatch.setattr(engines, "installed", lambda package: False)
    for name in engines.RUNS:
        with pytest.raises(UserError, match=r"pip install 'duet\[fast\]'") as error:
            pipeline("translation", model=tiny_t5, engine=name)
        assert len(str(error.value).splitlines()) == 1


def test_a_model_that_an_engine_cannot_run_is_one_line(tiny_t5, tiny_lstm_classifier, tiny_lstm_seq2seq, monkeypatch):
    monkeypatch.setattr(engines, "installed", lambda package: True)
    for task, folder, name, left in (
        ("translation", tiny_t5, "onnx", "auto, torch, ctranslate2"),
        ("sentiment", tiny_lstm_classifier, "onnx", "auto, torch"),
        ("translation", tiny_lstm_seq2seq, "ctranslate2", "auto, torch"),
    ):
        with pytest.raises(UserError, match=f"engine '{name}' can't run .*: choose from {left}.$"):
            pipeline(task, model=folder, engine=name, device="cpu")


def test_what_only_torch_can_follow_is_said(tiny_t5, piece_tokenizer, monkeypatch):
    monkeypatch.setattr(engines, "installed", lambda package: True)
    with pytest.raises(UserError, match="can't follow dtype"):
        pipeline("translation", model=tiny_t5, engine="ctranslate2", dtype="bfloat16")
    loaded = pipeline("translation", model=tiny_t5, engine="torch", device="cpu").model
    with pytest.raises(UserError, match="can't follow a loaded model"):
        pipeline("translation", model=loaded, tokenizer=piece_tokenizer, engine="ctranslate2")
    for engine in ("torch", "auto"):
        with pytest.raises(UserError, match="torch doesn't run .* in int8"):
            pipeline("translation", model=tiny_t5, engine=engine, device="cpu", dtype="int8")


# --- the harness ---


@needs["ctranslate2"]
def test_the_harness_names_results_for_the_engine(tmp_path, tiny_bert, tiny_lstm_classifier):
    import json

    from scripts import harness

    models = f"{tiny_bert},{tiny_lstm_classifier},floor"
    shared = ["--tasks", "sentiment", "--data", "samples", "--limit", "6", "--models", models]
    arguments = [*shared, "--no-cost", "--device", "cpu", "--output", str(tmp_path)]
    assert harness.main([*arguments, "--engine", "ctranslate2"]) == 1  # it has no LSTM: told, and left out
    results = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert {result["model"] for result in results} == {"floor", f"{tiny_bert}-ctranslate2"}
    (found,) = [result for result in results if result["family"] == "bert"]
    assert (found["engine"], found["precision"]) == ("ctranslate2", "float32")
    assert harness.main([*arguments]) == 0
    results = {r["model"]: r for r in (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))}
    assert len(results) == 4 and "engine" not in results[str(tiny_bert)]
    assert results[str(tiny_bert)]["metrics"] == found["metrics"]
