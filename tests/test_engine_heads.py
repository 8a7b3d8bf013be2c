"""BERT with a head in CTranslate2 and ONNX Runtime gives what torch gives, through whole pipelines on ragged texts."""

import pytest
import torch
from engine_tools import CLASSIFYING, both, close, needs, untouched

from pipelines import pipeline


@pytest.fixture(scope="module")
def tiny_tagger(tmp_path_factory, word_tokenizer):
    from ner_models import tagger

    folder = tmp_path_factory.mktemp("models") / "tagger"
    tagger("bert", word_tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def tiny_reader(tmp_path_factory, word_tokenizer):
    from conftest import _saved
    from qa_models import reader

    return _saved(tmp_path_factory.mktemp("models") / "reader", reader("bert", word_tokenizer), word_tokenizer)


def classes(model, engine, texts, dtype=None, by=1e-4):
    ours, theirs = both("sentiment-analysis", model, engine, dtype, top_k=None)
    expected = ours(texts)
    for size in (1, 5, 64):
        assert close(theirs(texts, batch_size=size), expected, by)
    assert untouched(theirs)
    return theirs


@pytest.mark.parametrize("engine", CLASSIFYING)
def test_classes_and_scores_are_torchs(engine, tiny_bert, english):
    texts = english + ["", " ".join(english)]  # the last one is read in parts
    theirs = classes(tiny_bert, engine, texts)
    pairs = [{"text": a, "text_pair": b} for a, b in zip(english[:5], english[3:8], strict=True)]
    ours = pipeline("sentiment-analysis", model=tiny_bert, engine="torch", device="cpu", top_k=None)
    assert close(theirs(pairs, batch_size=5), ours(pairs), 1e-4)


@pytest.mark.parametrize("engine", CLASSIFYING)
def test_int8_has_the_same_answers_in_a_batch_as_alone(engine, tiny_bert, english):
    """Scores of one batch must not depend on what else is in it: a scale for all of its activations would do that."""
    _, theirs = both("sentiment-analysis", tiny_bert, engine, "int8", top_k=None)
    assert theirs.model.precision == "int8"
    assert close(theirs(english, batch_size=12), [theirs([text])[0] for text in english], 1e-5)
    exact = pipeline("sentiment-analysis", model=tiny_bert, engine=engine, device="cpu", top_k=None)
    assert not close(theirs(english), exact(english), 1e-6)  # or it isn't int8


@needs["ctranslate2"]
def test_adapters_are_merged(tiny_adapters, tiny_bert, english):
    theirs = classes(tiny_adapters, "ctranslate2", english)
    assert not close(theirs(english), pipeline("sentiment", model=tiny_bert, device="cpu", top_k=None)(english), 1e-3)


@needs["ctranslate2"]
def test_entities_are_torchs(tiny_tagger, english):
    from ner_models import TEXTS

    ours, theirs = both("ner", tiny_tagger, "ctranslate2")
    expected = ours(TEXTS + english)
    assert sum(map(len, expected)) > len(english) and close(theirs(TEXTS + english, batch_size=7), expected, 1e-4)
    assert untouched(theirs)


@pytest.mark.parametrize("engine", CLASSIFYING)
def test_answers_to_questions_are_torchs(engine, tiny_reader, english):
    ours, theirs = both("question-answering", tiny_reader, engine, top_k=3)
    asked = [{"question": "Who rang?", "context": " ".join(english[i:])} for i in range(0, 12, 3)]
    assert close(theirs(asked, batch_size=3), ours(asked), 1e-4)
    assert untouched(theirs)


@needs["ctranslate2"]
def test_a_call_that_an_encoder_has_no_equal_for_goes_to_torch(tiny_bert, caplog):
    ours, theirs = both("sentiment", tiny_bert, "ctranslate2")
    ids = torch.tensor([[0, 0, 5, 6, 7], [2, 9, 10, 11, 3]])
    for more in ({"attention_mask": (ids > 0).long()}, {"output_attentions": True}):  # padding on the left
        found, expected = theirs.model(input_ids=ids, **more), ours.model(input_ids=ids, **more)
        torch.testing.assert_close(found.logits, expected.logits)
    assert sum("torch answers such calls" in record.message for record in caplog.records) == 2
