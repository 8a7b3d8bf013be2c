"""Forms of input and output of the pipelines, ragged batches, blank texts; for both shapes and families."""

import datasets
import pytest
import torch
import transformers
from pipe_tools import SEQ2SEQ, flat, near
from torch.utils.data import Dataset
from transformers.pipelines.pt_utils import KeyDataset

from pipelines import UserError, pipeline


def test_outputs_are_those_of_transformers_4(translator, classifier, english):
    assert isinstance(translator, transformers.Pipeline) and isinstance(classifier, transformers.Pipeline)
    (one,) = translator(english[0])
    assert list(one) == ["translation_text"] and type(one["translation_text"]) is str
    many = translator(english[:3])
    assert [list(record) for record in many] == [["translation_text"]] * 3 and many[0] == one
    several = translator(english[:2], num_return_sequences=2)
    assert [len(records) for records in several] == [2, 2] and several[0] == translator(
        english[0], num_return_sequences=2
    )
    (one,) = classifier(english[0])
    assert set(one) == {"label", "score"} and type(one["score"]) is float
    each = [classifier(text)[0] for text in english[:2]]
    assert classifier(english[:2], batch_size=1) == each
    assert near(classifier(english[:2]), each)  # two at once are a float32 unit off on some CPUs
    everything = classifier(english[0], top_k=None)
    assert {record["label"] for record in everything} == {"negative", "positive"}
    assert everything[0] == one and sum(record["score"] for record in everything) == pytest.approx(1)


def test_ragged_batch_is_one_by_one(pipe, english):
    one_by_one = [pipe(text)[0] for text in english]
    assert len({str(output) for output in one_by_one}) > len(english) / 2  # answers that differ, or this proves nothing
    assert len({output["label"] for output in one_by_one if "label" in output}) in (0, 2)
    for size in (2, 5, 64):
        assert near(pipe(english, batch_size=size), one_by_one)


def test_every_kind_of_iterable(pipe, english):
    class Rows(Dataset):
        def __len__(self):
            return len(english)

        def __getitem__(self, i):
            return english[i]  # IndexError only by luck of the list: its length must decide

    english = english[:7]
    expected = pipe(english)
    asked = []

    def lines():
        for text in english:
            asked.append(text)
            yield text

    table = datasets.Dataset.from_dict({"en": english, "n": list(range(len(english)))})
    for inputs in (tuple(english), table["en"], pipe_list := list(english)):
        outputs = pipe(inputs, batch_size=3)
        assert type(outputs) is list and near(outputs, expected)
    assert pipe_list == english
    for inputs in (lines(), iter(english), Rows(), KeyDataset(table, "en")):
        outputs = pipe(inputs, batch_size=3)
        assert not isinstance(outputs, list)
        assert near(flat(outputs), expected)
    assert pipe([]) == [] and list(pipe(iter([]))) == []
    # a generator is read as answers are taken, not ahead
    asked.clear()
    stream = pipe(lines(), batch_size=2)
    next(stream)
    assert len(asked) <= 3


def test_blank_texts(translator, classifier, english):
    for blank in ("", " ", "\n\n", "\u00a0"):
        assert translator(blank) == [{"translation_text": ""}]
        assert classifier(blank)[0]["label"] in ("negative", "positive")
    with_blanks = ["", english[3], " \n ", english[1], ""]
    outputs = translator(with_blanks, batch_size=2)
    assert outputs == [translator(text)[0] for text in with_blanks]
    assert [bool(output["translation_text"]) for output in outputs] == [False, True, False, True, False]
    assert near(classifier(with_blanks, batch_size=5), [classifier(text)[0] for text in with_blanks])


def test_a_tokenizer_that_adds_nothing_may_give_no_token_at_all(tiny_lstm_classifier):
    pipe = pipeline("sentiment-analysis", model=tiny_lstm_classifier, device="cpu")
    pipe.tokenizer.backend_tokenizer.post_processor = None
    assert pipe.tokenizer("")["input_ids"] == []
    assert pipe("")[0]["score"] <= 1 and len(pipe(["", "happy"], batch_size=2)) == 2


def test_tensors_and_text(translator, english):
    (both,) = translator(english[3], return_tensors=True, return_text=True)
    assert set(both) == {"translation_text", "translation_token_ids"}
    assert translator(english[3]) == [{"translation_text": both["translation_text"]}]
    decoded = translator.tokenizer.decode(both["translation_token_ids"], skip_special_tokens=True)
    assert decoded == both["translation_text"]
    alone = [translator(text, return_tensors=True)[0]["translation_token_ids"] for text in english]
    batched = translator(english, return_tensors=True, batch_size=5)
    assert all(torch.equal(a, b["translation_token_ids"]) for a, b in zip(alone, batched, strict=True))


@pytest.mark.parametrize("family", SEQ2SEQ)
@pytest.mark.parametrize("task, key", [("summarization", "summary_text"), ("text2text-generation", "generated_text")])
def test_the_other_text2text_tasks(request, family, task, key, english):
    pipe = pipeline(task, model=request.getfixturevalue(family), device="cpu", max_new_tokens=9)
    assert [list(output) for output in pipe(english[:3])] == [[key]] * 3


def test_wrong_inputs_are_named(translator):
    for wrong in (None, 7, {"text": "x"}, [["nested"]], ["fine", 3]):
        with pytest.raises(UserError, match="takes texts"):
            translator(wrong)
