"""One T5 for everything: the mixture, and a checkpoint that answers tasks of other shapes in words."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from conftest import ENGLISH, FRENCH, _saved, seeded
from pipe_tools import heard, near
from training_runs import arguments, record_of, train

from pipelines import UserError, hub, instructed, pipeline, scratch
from pipelines.written_similarity import ANSWERS
from tasks import MIXTURES, TASKS, data, load, multitask
from tasks.predict import predict_all

MIX = load("multitask")
CONTEXT = "An old fisherman mends his net beside a blue boat at dawn. " + " ".join(ENGLISH)


@pytest.fixture(scope="module")
def tokenizer():
    texts = [*ENGLISH, *FRENCH, *(prefix for _, prefix in multitask.MEMBERS.values())] * 2
    made = scratch.sentencepiece_tokenizer([*texts, *map(multitask.words, load("classify").labels), *ANSWERS], 260)
    made.model_max_length = 100
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    torch.manual_seed(0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    model = seeded(scratch.new_model("text2text", "t5", tokenizer, sizes))
    model.config.task_specific_params = multitask.settings()
    return _saved(tmp_path_factory.mktemp("models") / "t5-multitask", model, tokenizer)


def made(task, folder, **options):
    return pipeline(task, model=str(folder), device="cpu", engine="torch", **options)


# --- answers ---


@pytest.mark.parametrize("task", ["sentiment", "sentiment-analysis", "text-classification", "classify"])
def test_labels_score_by_the_probability_of_their_words(folder, tokenizer, task):
    pipe = made(task, folder)
    own = "classify" if task == "classify" else "sentiment"
    labels, prefix = load(own).labels, multitask.MEMBERS[own][1]
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    for text, found in zip(ENGLISH, pipe(ENGLISH, top_k=None, batch_size=5), strict=True):
        total = []
        for label in labels:
            source = tokenizer(prefix + text, return_tensors="pt")
            target = tokenizer(multitask.words(label), return_tensors="pt")["input_ids"]
            with torch.no_grad():
                total.append(-model(**source, labels=target).loss * target.shape[1])
        scores = dict(zip(labels, torch.tensor(total).softmax(0).tolist(), strict=True))
        for records in (found, pipe(text, top_k=None)):
            assert {record["label"]: record["score"] for record in records} == pytest.approx(scores, abs=1e-4)


def test_long_texts_are_averaged_by_window_and_nothing_is_cut(folder, tokenizer):
    pipe, long = made("sentiment", folder), " ".join(ENGLISH)
    parts = [features["weight"] for features in pipe.preprocess(long)]
    assert len(parts) > 2 and max(parts) <= 100
    (one,) = pipe([long])
    assert 0.5 <= one["score"] <= 1 and one["label"] in load("sentiment").labels


def test_predictions_are_the_tasks_own_labels(folder):
    rows = data.read(load("classify"), "samples").take(6)
    found = predict_all(load("classify"), made("classify", folder), rows.inputs, 4)
    assert {row["label"] for row in found} <= set(load("classify").labels)


def says(words):
    """A `generate` that says of each row of a batch what `words(its text)` says, with probability a half a token."""

    def generate(input_ids, attention_mask, **options):
        said = [words(ids) for ids in input_ids]
        width = max(map(len, said))
        sequences = torch.tensor([[0, *ids, *[0] * (width - len(ids))] for ids in said])
        scores = tuple(torch.zeros(len(said), 2) for _ in range(width))
        return transformers.generation.GenerateEncoderDecoderOutput(sequences=sequences, scores=scores)

    return generate


@pytest.fixture
def reader(folder, tokenizer, monkeypatch):
    """A QA pipeline whose model says "Blue Boat" where it reads of one, else "rhubarb"."""
    pipe = made("qa", folder)

    def words(ids):
        text = tokenizer.decode(ids, skip_special_tokens=True)
        return tokenizer("Blue Boat" if "blue boat" in text else "rhubarb")["input_ids"]

    monkeypatch.setattr(pipe.model, "generate", says(words))
    halves = torch.full((1, 1), 0.5).log()
    monkeypatch.setattr(
        pipe.model, "compute_transition_scores", lambda sequences, *_, **__: halves.expand(sequences[:, 1:].shape)
    )
    return pipe


def test_an_answer_is_quoted_as_it_stands_in_the_part_that_has_it(reader, tokenizer):
    text = " ".join(ENGLISH)  # many windows; the boat is in the last ones
    answer = reader(question="What is he beside?", context=text)
    assert text[answer["start"] : answer["end"]] == answer["answer"] == "blue boat"
    assert answer["score"] == pytest.approx(0.5 ** len(tokenizer("Blue Boat")["input_ids"]))
    every = reader(question="What is he beside?", context=text, top_k=99)
    assert len(every) > 3 and every[0] == answer
    assert [(row["answer"], row["start"], row["end"]) for row in every[1:]] == [("rhubarb", -1, -1)] * (len(every) - 1)
    (first, second) = reader(question=["Where?", "What?"], context=[text, "A Rhubarb came."])
    assert first["answer"] == "blue boat" and second == {**second, "answer": "Rhubarb", "start": 2, "end": 9}


@pytest.mark.parametrize(
    ("said", "context", "start"),
    (
        ("US", "It happened because the US won.", 24),
        ("he", "The man said he left.", 13),
        ("may", "Theresa May may go.", 12),
        ("us", "The US won.", 4),
        ("car", "Two cars, a Car.", 12),
        ("car", "Two cars.", 4),
        ("$5", "It cost US$5.", 10),
        ("C++", "He wrote C++.", 9),
        ("rhubarb", "İ. No.", -1),
    ),
)
def test_an_answer_is_quoted_as_a_word_where_it_is_one(said, context, start):
    pipe = SimpleNamespace(tokenizer=SimpleNamespace(decode=lambda ids, **_: said))
    part = {"ids": [()], "scores": 0.5, "part": context, "start": 3, "context": "So " + context}
    found = instructed.Answers.postprocess(pipe, [part])
    if start < 0:
        assert found == {"score": 0.5, "start": -1, "end": -1, "answer": said}
    else:
        end = start + len(said)
        assert found == {"score": 0.5, "start": start + 3, "end": end + 3, "answer": context[start:end]}


def test_batched_is_one_by_one_and_the_limit_holds(folder):
    pipe = made("question-answering", folder)
    asked = [{"question": "What is he beside?", "context": text} for text in (CONTEXT, ENGLISH[3], "No.", CONTEXT[:90])]
    alone = [pipe(**row, max_answer_len=3) for row in asked]
    assert near(pipe(asked, batch_size=3, max_answer_len=3), alone)
    assert all(0 <= row["score"] <= 1 for row in alone)
    with pytest.raises(UserError, match="the question is too long"):
        pipe(question="What " * 60, context="No.")


@pytest.mark.parametrize(
    ("task", "prefix"), (("translate", "translate English to French: "), ("summarization", "summarize: "))
)
def test_translations_and_summaries_need_no_more_than_their_prefix(folder, tokenizer, task, prefix):
    pipe = made(task, folder)
    with heard(pipe) as read:
        found = pipe(ENGLISH[:2], max_new_tokens=3, batch_size=2)
    assert sorted(read) == sorted(tokenizer([prefix + text for text in ENGLISH[:2]])["input_ids"]) and len(found) == 2


def test_how_alike_two_texts_are_is_written(folder):
    found = made("similarity", folder)([(ENGLISH[0], text) for text in ENGLISH[:3]])
    assert all(f"{answer['score']:.1f}" in ANSWERS for answer in found)


def test_other_checkpoints_answer_as_before(tiny_t5, tiny_bert):
    for name in ("sentiment", "qa", None):
        assert not instructed.knows(name, transformers.AutoConfig.from_pretrained(tiny_t5))
    assert type(pipeline("sentiment", model=str(tiny_bert))).__name__ == "WindowedTextClassificationPipeline"
    with pytest.raises(UserError, match="not trained for sentiment"):
        pipeline("sentiment", model=str(tiny_t5))


def test_it_goes_by_its_whole_name(folder, tmp_path, monkeypatch, run):
    (tmp_path / "t5-multitask").symlink_to(folder)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    assert hub.bundled() == {} and hub.resolve("sentiment", "t5-multitask")[0] == str(tmp_path / "t5-multitask")
    status, (line,), err = run(load("sentiment"), "--model", "t5-multitask", "What a film!")
    assert (status, err) == (0, "") and line.split()[0] in load("sentiment").labels
    status, (line,), err = run(load("qa"), "--model", "t5-multitask", "Who?", "--context", ENGLISH[3], "--json")
    assert status == 0 and set(json.loads(line)["output"]) == {"score", "start", "end", "answer"}


def test_the_harness_opens_it_for_every_member(folder, tmp_path, monkeypatch):
    from scripts import arms

    (tmp_path / "t5-multitask").symlink_to(folder)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    for name in ("sentiment", "qa"):
        rows = data.read(load(name), "samples").take(2)
        arm = arms.open_arm(load(name), "t5-multitask", rows, "cpu")
        assert arm.family == "t5" and len(arm.many(rows.inputs, 2)) == 2 and arm.fixed is None and arm.size_mb > 0


# --- the mixture ---


def test_each_row_begins_with_its_members_words():
    assert MIXTURES == ("multitask",) and not set(MIXTURES) & set(TASKS)
    rows = MIX.read("samples", "train")
    counts = {name: len(data.read(load(name), "samples", "train")) for name in multitask.MEMBERS if name != "cola"}
    begins = {name: prefix for name, (_, prefix) in multitask.MEMBERS.items()}
    for name, count in counts.items():
        mine = [i for i, text in enumerate(rows.inputs) if text.startswith(begins[name])]
        assert 0 < len(mine) <= count
        for i in mine:
            assert all(isinstance(text, str) and text for text in rows.targets[i])
            if name in ("sentiment", "classify"):
                assert rows.targets[i][0] in map(multitask.words, load(name).labels)
            if name == "qa":
                assert multitask.CONTEXT in rows.inputs[i] and rows.targets[i][0] in rows.inputs[i]
            if name == "similarity":
                assert " sentence2: " in rows.inputs[i] and rows.targets[i][0] in ANSWERS
    assert len({multitask.words(label) for label in load("classify").labels}) == 4


def test_sources_name_a_member_a_data_set_and_a_count(tmp_path, monkeypatch):
    folder = tmp_path / "my" / "set"
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        lines = [{"sentence": f"{split} {i}", "label": i % 2} for i in range(300)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("DUET_DATA", str(tmp_path))
    rows = data.read_all(MIX, ["sentiment@my/set:20", "cola@my/set", "sentiment@my/set:20"], "train")
    assert len(rows) == 20 + 300 + 20 and rows.inputs[:20] == rows.inputs[-20:]
    assert rows.inputs[0].startswith("sst2 sentence: train") and rows.inputs[20].startswith("cola sentence: train")
    assert set(map(tuple, rows.targets[20:320])) == {("unacceptable",), ("acceptable",)}
    assert len(data.read(MIX, "sentiment@my/set", "validation")) == multitask.VALIDATION
    with pytest.raises(UserError, match="unknown member of the mixture 'sentimen'.*Did you mean 'sentiment'?"):
        data.read(MIX, "sentimen:4", "train")


def test_it_trains_and_answers(tmp_path):
    folder, short = tmp_path / "t5-multitask", {"num_beams": 1, "max_new_tokens": 4}
    argv = arguments("multitask", "t5", folder, max_steps=3, evaluate_every=3, validation_limit=6, validation=short)
    assert train(argv) == 0
    assert record_of(folder)["task"] == "multitask" and list(record_of(folder)["validation"]) == ["rougeL"]
    assert 'pipeline("translate", model="t5-multitask")' in (folder / "README.md").read_text()
    assert pipeline("classify", model=str(folder), device="cpu")("Shares fell.")[0]["label"] in load("classify").labels
