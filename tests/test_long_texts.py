"""Texts longer than a model's window: split, nothing dropped, cut only on request."""

import pytest
import torch
import transformers
from pipe_tools import flat, heard, near, prefix_of

from pipelines import UserError, pipeline


@pytest.fixture(scope="module")
def novel(english) -> str:
    """10,000 words in ragged sentences and paragraphs, and one word longer than a window."""
    sentences = [*english, "Pneumono" + "ultramicroscopic" * 20 + "."]
    words, lines, i = 0, [], 0
    while words < 10_000:
        line = " ".join(sentences[(i * 5 + k * k) % len(sentences)] for k in range(1 + i % 9))
        words, i = words + len(line.split()), i + 1
        lines.append(line)
    return "\n\n".join(lines)


def kept(pipe, parts: list[list[int]], prefix: str = "") -> list[int]:
    """The tokens of the text itself in what reached the model, in order."""
    special = set(pipe.tokenizer.all_special_ids) - {pipe.tokenizer.unk_token_id}
    skip = len(pipe.tokenizer(prefix, add_special_tokens=False)["input_ids"])
    return [token for part in parts for token in [i for i in part if i not in special][skip:]]


def test_nothing_of_10000_words_is_dropped(pipe, novel):
    prefix = prefix_of(pipe)
    options = {"max_new_tokens": 1, "num_beams": 1, "batch_size": 64} if prefix else {}
    window = pipe.tokenizer.model_max_length
    with heard(pipe) as parts:
        (output,) = pipe(novel, **options)
    assert max(map(len, parts)) <= window and len(parts) > 100
    # characters, since a word cut in two changes its tokens
    letters = "".join(pipe.tokenizer.decode(kept(pipe, [part], prefix)) for part in parts)
    whole = pipe.tokenizer.decode(pipe.tokenizer(novel, add_special_tokens=False, verbose=False)["input_ids"])
    assert strip(letters) == strip(whole) and len(strip(whole)) > 30_000
    assert output and next(iter(output.values())) is not None


def strip(text: str) -> str:
    return "".join(text.replace("##", "").split())


def test_tokens_that_reach_the_model_are_those_of_the_text(pipe, english):
    """Where cuts fall between words, the parts' tokens are the text's, counted and in order."""
    prefix = prefix_of(pipe)
    text = " ".join(english * 5)
    with heard(pipe) as parts:
        pipe(text, **({"max_new_tokens": 2, "num_beams": 1} if prefix else {}))
    assert len(parts) > 5
    assert kept(pipe, parts, prefix) == pipe.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def test_long_and_short_texts_share_batches(pipe, english):
    texts = [english[0], " ".join(english), english[1], "\n".join(english[::-1]), english[4]]
    one_by_one = [pipe(text)[0] for text in texts]
    with heard(pipe) as parts:
        assert near(pipe(texts, batch_size=4), one_by_one)
    assert len(parts) > len(texts)
    assert near(flat(pipe(iter(texts), batch_size=3)), one_by_one)


def test_a_text_that_fits_stays_whole_and_a_longer_one_breaks_at_sentences(translator, english):
    short = [text for text in english if len(text) < 70]
    two, many = " ".join(short[:2]), " ".join(short)
    with heard(translator) as parts:
        translator(two)
    assert len(parts) == 1
    with heard(translator) as parts:
        (whole,) = translator(many)
    texts = [translator.tokenizer.decode(ids, skip_special_tokens=True) for ids in parts]
    assert all(text.endswith((".", "!", "?")) for text in texts)
    prefix = translator.prefix.strip()
    pieces = [translator(text.removeprefix(prefix).strip())[0]["translation_text"] for text in texts]
    assert whole["translation_text"] == " ".join(pieces)


def test_split_sentences_keeps_line_breaks(tiny_t5, english):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_t5)
    model.config.task_specific_params["translation_en_to_fr"]["split_sentences"] = True
    pipe = pipeline("translate", model=model, tokenizer=tokenizer, device="cpu", max_new_tokens=9)
    answers = [pipe(text, split_sentences=False)[0]["translation_text"] for text in english[:4]]
    text = "{} {}\n\n{}\n{}".format(*english[:4])
    assert pipe(text) == [{"translation_text": "{} {}\n\n{}\n{}".format(*answers)}]
    assert pipe(text, split_sentences=False) != pipe(text)
    assert "split_sentences" not in pipe._settings


def test_truncation_is_there_when_asked_for(pipe, english):
    text = " ".join(english)
    options = {"max_new_tokens": 2} if hasattr(pipe, "return_name") else {}
    prefix = prefix_of(pipe)
    with heard(pipe) as parts:
        pipe(text, truncation=True, **options)
    assert parts == [pipe.tokenizer(prefix + text, truncation=True, max_length=64)["input_ids"]]
    for whole in ({"truncation": False}, {"truncation": "do_not_truncate"}):
        with heard(pipe) as parts:
            pipe(text, **whole, **options)
        assert len(parts) > 1


def test_window_parameter(pipe, english):
    options = {"max_new_tokens": 2} if hasattr(pipe, "return_name") else {}
    with heard(pipe) as parts:
        pipe(english[5], window=20, **options)
    assert len(parts) > 1 and max(map(len, parts)) <= 20
    if options:
        with pytest.raises(UserError, match="no room"):
            pipe("No.", window=2)


def test_scores_of_a_long_text_are_the_mean_over_its_parts(classifier, english):
    text = " ".join(english)
    with heard(classifier) as parts:
        everything = classifier(text, top_k=None)
    assert len(parts) > 1
    mean = dict.fromkeys(("negative", "positive"), 0.0)
    for ids in parts:
        logits = classifier.model(torch.tensor([ids])).logits[0]
        for label, score in zip(("negative", "positive"), logits.softmax(-1).tolist(), strict=True):
            mean[label] += score * len(ids) / sum(map(len, parts))
    assert {record["label"]: record["score"] for record in everything} == pytest.approx(mean)
    assert everything == sorted(everything, key=lambda record: -record["score"])
    assert classifier(text) == everything[:1] == classifier(text, top_k=1)
    assert near(classifier([text, "No."], top_k=1)[0], everything[:1])


def test_a_long_pair_keeps_its_short_side(classifier, english):
    pair = {"text": "Well done!", "text_pair": " ".join(english)}
    with heard(classifier) as parts:
        classifier(pair)
    head = classifier.tokenizer("Well done!", add_special_tokens=False)["input_ids"]
    assert len(parts) > 1 and all(ids[1 : len(head) + 1] == head for ids in parts)
    with pytest.raises(UserError, match="both texts"):
        classifier({"text": " ".join(english), "text_pair": " ".join(english)})


def test_short_texts_score_bit_for_bit_as_transformers_own(tiny_bert, english):
    ours = pipeline("sentiment-analysis", model=tiny_bert, device="cpu")
    theirs = transformers.pipeline("sentiment-analysis", model=str(tiny_bert), device="cpu", dtype=torch.float32)
    assert [ours(text) for text in english] == [theirs(text) for text in english]
    assert ours(english, batch_size=1) == theirs(english) and near(ours(english), theirs(english))
    assert ours(english, batch_size=5, top_k=None) == theirs(english, batch_size=5, top_k=None)
