"""Extractive summaries: sentences as they stand and where, ranking by hand, any encoder, long ones, the command."""

import json

import pytest
import torch
import transformers
from pipe_tools import heard

from pipelines import UserError, extractive, hub, pipeline
from tasks import load

SUMMARIZE, HUB_TASK = load("summarize"), "extractive-summarization"
ENCODERS = ["tiny_bert", "tiny_adapters", "tiny_lstm_seq2seq", "tiny_lstm_classifier", "tiny_t5"]


def made(request, folder: str, **options):
    return pipeline(HUB_TASK, model=request.getfixturevalue(folder), device="cpu", **options)


@pytest.fixture
def texts(english):
    """Of many sentences and lines, of two, of one, blank, empty, and of one sentence that no window holds."""
    lines = " ".join(english[:4]) + "\n\n  " + " ".join(english[4:]) + " \n"
    return ["\n " + lines, " ".join(english[2:4]), english[3], " \n", "", "so much, " * 60 + "at last."]


@pytest.mark.parametrize("folder", ENCODERS)
def test_sentences_stand_where_they_are_said_to_in_the_order_of_the_text(request, folder, texts):
    pipe = made(request, folder)
    for text in texts:
        for options in ({}, {"length": "long"}, {"sentences": 2}):
            (record,) = pipe(text, **options)
            found = record["sentences"]
            assert all(text[s["start"] : s["end"]] == s["text"] == s["text"].strip() for s in found)
            assert sorted(found, key=lambda s: s["start"]) == found and all(0 <= s["score"] <= 1 for s in found)
            assert record["summary_text"] == " ".join(s["text"] for s in found)
            assert bool(found) == bool(text.strip())
    assert [len(pipe(texts[0], sentences=n)[0]["sentences"]) for n in (1, 5, 11, 99)] == [1, 5, 11, 11]


def plain(record: dict) -> list[tuple]:
    return [(sentence["text"], sentence["start"], sentence["end"]) for sentence in record["sentences"]]


@pytest.mark.parametrize("folder", ENCODERS)
def test_batched_is_one_by_one_in_lists_and_streams(request, folder, texts):
    pipe = made(request, folder, length="long")
    one_by_one = [pipe(text)[0] for text in texts]
    assert len({record["summary_text"] for record in one_by_one}) == len(texts) - 1  # two are blank
    for records in (pipe(texts, batch_size=4), list(pipe(iter(texts), batch_size=3))):
        assert list(map(plain, records)) == list(map(plain, one_by_one))
        for record, wanted in zip(records, one_by_one, strict=True):
            scores = [[sentence["score"] for sentence in each["sentences"]] for each in (record, wanted)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)  # sums in another order, spread to 0-1
    assert pipe([]) == []


def test_lengths_take_at_most_half_of_a_text(request, english):
    pipe = made(request, "tiny_bert")
    wanted = {"short": [1, 1, 1, 1], "medium": [1, 1, 3, 3], "long": [1, 1, 3, 8]}
    texts = [" ".join((english[3:] * 2)[:n]) for n in (1, 2, 5, 18)]
    for length, counts in wanted.items():
        assert [len(record["sentences"]) for record in pipe(texts, length=length)] == counts


@pytest.mark.parametrize("folder", ["tiny_bert", "tiny_lstm_seq2seq"])
def test_a_vector_is_the_mean_of_a_sentences_states_in_parts_where_it_is_long(request, folder, english, monkeypatch):
    """A sentence beyond the window is read in parts that fit, all of its words, and they are averaged by tokens."""
    pipe, seen = made(request, folder), []
    rank = extractive.rank
    monkeypatch.setattr(extractive, "rank", lambda vectors, count: seen.append(vectors) or rank(vectors, count))
    long = "So much, " + "so much, " * 60 + "at last."
    with heard(pipe) as parts:
        pipe(english[3] + " " + long, batch_size=1)
    assert len(parts) > 2 and max(map(len, parts)) <= 64
    bare = transformers.AutoModel.from_pretrained(request.getfixturevalue(folder)).eval()
    with torch.no_grad():
        states = [bare(input_ids=torch.tensor([part]))[0][0] for part in parts]
    wanted = torch.stack([states[0].mean(0), torch.cat(states[1:]).mean(0)])
    assert torch.allclose(seen[0], wanted, atol=1e-5)
    words = [word for part in parts[1:] for word in pipe.tokenizer.decode(part, skip_special_tokens=True).split()]
    assert "".join(words).lower() == long.lower().replace(" ", "")


# --- ranking, by hand ---


def test_central_sentences_come_first_and_place_counts(monkeypatch):
    # three alike, one that has nothing to do with them
    vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.2], [3.0, 0.0]])
    monkeypatch.setattr(extractive, "POSITION", 0.0)
    monkeypatch.setattr(extractive, "REDUNDANCY", 0.0)
    scores = extractive.rank(vectors, 4)
    assert list(scores)[-1] == 0 and scores[0] == 0 and max(scores.values()) == 1
    cosine = 1 / (1 + 0.01) ** 0.5  # of the third to its neighbours
    low, high = 0.1 * cosine / 3, (2 * cosine + 0.1 * cosine) / 3
    assert scores[2] == pytest.approx(1) and scores[1] == pytest.approx(((1 + cosine) / 3 - low) / (high - low))
    monkeypatch.setattr(extractive, "POSITION", 1.0)
    assert extractive.rank(vectors, 4) == pytest.approx({0: 1, 1: 1 / 2, 2: 1 / 3, 3: 1 / 4})


def test_what_repeats_a_chosen_sentence_comes_later(monkeypatch):
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.6, 0.8]])
    monkeypatch.setattr(extractive, "POSITION", 1.0)
    monkeypatch.setattr(extractive, "REDUNDANCY", 0.0)
    assert list(extractive.rank(vectors, 2)) == [0, 1]
    monkeypatch.setattr(extractive, "REDUNDANCY", 0.5)
    assert list(extractive.rank(vectors, 2)) == [0, 2]


@pytest.mark.parametrize("vectors", [torch.ones(4, 3), torch.zeros(4, 3), torch.ones(1, 3)])
def test_sentences_that_can_not_be_told_apart_go_by_their_place(vectors):
    assert list(extractive.rank(vectors, 3)) == list(range(len(vectors)))[:3]


# --- names, arms, wrong use ---


def test_the_arms_are_encoders_of_other_tasks(tmp_path, monkeypatch, tiny_bert, tiny_lstm_seq2seq):
    for name, folder in (("intents-bert", tiny_bert), ("summarize-lstm", tiny_lstm_seq2seq)):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    assert hub.resolve(HUB_TASK)[0] == str(tmp_path / "intents-bert")
    assert type(pipeline(HUB_TASK).model).__name__ == "BertModel"
    assert type(pipeline(HUB_TASK, model="lstm").model).__name__ == "LSTMModel"
    with pytest.raises(UserError, match="no t5 is bundled for extractive-summarization.*transformer, bert, lstm"):
        pipeline(HUB_TASK, model="t5")


def test_the_bundled_ones_are_there():
    assert set(hub.choices(HUB_TASK)) == {"transformer", "bert", "lstm"}


def test_wrong_use_is_one_line(request, tiny_bert):
    pipe = made(request, "tiny_bert")
    for options, words in (
        ({"length": "shrt"}, "unknown length 'shrt'.*Did you mean 'short'"),
        ({"sentences": 0}, "whole number above 0"),
        ({"window": 2}, "no room for a text"),
    ):
        with pytest.raises(UserError, match=words):
            pipe("One. Two.", **options)
    with pytest.raises(UserError, match="takes texts, not int"):
        pipe([3])


# --- the command and the harness ---


def test_command(tiny_bert, english, run, tmp_path):
    (tmp_path / "long.txt").write_text(" ".join(english) + "\n\n" + english[3] + "\n")
    flags = ["--extractive", "--model", tiny_bert]
    status, lines, err = run(SUMMARIZE, "--file", tmp_path / "long.txt", "--sentences", 2, *flags)
    assert status == 1 and "line 2" in err and not lines[1] and lines[2] == english[3]
    status, (line,), err = run(SUMMARIZE, "--json", "--sentences", 2, *flags, " ".join(english))
    output = json.loads(line)["output"]
    assert (status, err, output["summary_text"]) == (0, "", lines[0]) and len(output["sentences"]) == 2
    assert all(" ".join(english)[s["start"] : s["end"]] == s["text"] for s in output["sentences"])
    status, (line,), _ = run(SUMMARIZE, "--json", "--length", "short", *flags, " ".join(english))
    assert len(json.loads(line)["output"]["sentences"]) == 1


def test_command_compares(tiny_bert, tiny_lstm_seq2seq, run):
    models = ["--model", tiny_bert, "--model", tiny_lstm_seq2seq]
    status, (line,), _ = run(SUMMARIZE, "--extractive", "--compare", "--json", *models, "One thing. Another thing.")
    answers = json.loads(line)["answers"]
    assert status == 0 and [len(answer["output"]["sentences"]) for answer in answers] == [1, 1]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--sentences", "2"], "--sentences needs --extractive"),
        (["--extractive", "--num-beams", "2"], "--extractive and --num-beams don't go together"),
        (["--extractive", "--sentences", "0"], "not a whole number above 0"),
    ],
)
def test_wrong_flags(run, flags, words):
    status, lines, err = run(SUMMARIZE, *flags, "hi")
    assert (status, lines) == (2, []) and words in err and len(err.splitlines()) == 1


def test_the_harness_opens_its_arms(tmp_path, monkeypatch, tiny_bert, tiny_lstm_seq2seq, english):
    from scripts import arms
    from tasks.data import Rows

    for name, folder in (("intents-bert", tiny_bert), ("summarize-lstm", tiny_lstm_seq2seq)):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    rows = Rows([" ".join(english[3:]), english[3]], [["x"], ["y"]], "here", "validation")
    for name, family in (("extractive", "bert"), ("extractive-lstm", "lstm")):
        arm = arms.open_arm(SUMMARIZE, name, rows, "cpu")
        predictions = arm.many(rows.inputs, 2)
        assert arm.family == family and arm.size_mb > 0 and arm.fixed is None
        assert predictions[0] in english and predictions[1] == english[3]
