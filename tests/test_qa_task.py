"""What question answering is scored by, read from and trained on."""

import json
import shutil

import pytest
import qa_models
import torch
import training_runs

from pipelines import UserError, question_answering
from tasks import data, load
from tasks.bootstrap import interval
from tasks.metrics import AnswerF1, ExactMatch, metrics_of, normalized

QA = load("qa")
PARK = "Two young men are playing football in the old park; one didn't answer. It costs 12.50 euros, I am happy."


def gold(*texts: str) -> dict:
    return {"text": list(texts), "answer_start": [0] * len(texts)}


# --- metrics ---


@pytest.mark.parametrize(
    "answer, expected",
    (
        ("The Old Park", "old park"),
        ("  an\tanswer,\n(the) one!  ", "answer one"),
        ("theatre an-and A.", "theatre anand"),  # punctuation goes before the articles: "A." is one then
        ("12.50 euros", "1250 euros"),
        ("«Zoë’s» café", "«zoë’s» café"),  # only ASCII punctuation is dropped
        ("the a an", ""),
    ),
)
def test_answers_are_normalised_as_the_official_script_does(answer, expected):
    assert normalized(answer) == expected


@pytest.mark.parametrize(
    "answer, golds, f1, exact",
    (
        ("the old park", ["Old park."], 1.0, 1.0),
        ("in the old park", ["old park"], 2 * (2 / 3) * 1 / (2 / 3 + 1), 0.0),
        ("old old park", ["old park park"], 2 / 3, 0.0),  # words count as often as they stand there
        ("a lake", ["old park", "blue lake"], 2 / 3, 0.0),  # the nearest of several
        ("blue lake", ["old park", "the blue lake"], 1.0, 1.0),
        ("boat", ["old park"], 0.0, 0.0),
        ("", ["old park"], 0.0, 0.0),
        ("the", ["old park"], 0.0, 0.0),
        ("", [], 1.0, 1.0),  # SQuAD 2: a question without an answer
        ("boat", [], 0.0, 0.0),
    ),
)
def test_scores_by_hand(answer, golds, f1, exact):
    assert AnswerF1().compute(predictions=[answer], references=[gold(*golds)]) == {"f1": pytest.approx(f1)}
    assert ExactMatch().compute(predictions=[answer], references=[gold(*golds)]) == {"exact_match": exact}


def test_metrics_of_the_task_are_means_over_questions():
    predictions, references = ["old park", "in the boat", "no"], [gold("the old park"), gold("boat"), gold("yes", "no")]
    f1, exact = metrics_of(QA)
    assert (f1.key, exact.key) == ("f1", "exact_match")
    rows = f1.statistics(predictions, references)
    assert f1.value(rows.sum(0)) == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert exact.value(exact.statistics(predictions, references).sum(0)) == pytest.approx(2 / 3)
    found = interval(f1, rows)
    assert found["low"] <= found["value"] <= found["high"] <= 1


# --- data ---


def written(folder, rows: list[dict], name: str = "rows.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def test_rows_of_squad_are_read_as_they_are(tmp_path):
    answers = [{"text": ["old park", "park"], "answer_start": [41, 45]}, {"text": [], "answer_start": []}]
    rows = [{"id": i, "question": "Where?", "context": PARK, "answers": answer} for i, answer in enumerate(answers)]
    found = data.read(QA, written(tmp_path, rows))
    assert found.inputs == [{"question": "Where?", "context": PARK}] * 2
    assert found.targets == answers


def test_plain_answers_are_looked_up_in_their_context(tmp_path):
    (tmp_path / "a.csv").write_text(f'question,text,answer\nWhere?,"{PARK}",old park\nWho?,"{PARK}",nobody\n')
    found = data.read(QA, str(tmp_path / "a.csv"))
    assert found.inputs[0] == {"question": "Where?", "context": PARK}
    assert found.targets == [
        {"text": ["old park"], "answer_start": [PARK.index("old park")]},
        {"text": ["nobody"], "answer_start": [-1]},
    ]
    several = [{"question": "Where?", "context": PARK, "answer": ["young men", "Two young men"]}]
    assert data.read(QA, written(tmp_path, several)).targets[0]["answer_start"] == [4, 0]


def test_a_row_with_a_gap_is_named(tmp_path):
    rows = [{"question": "Where?", "context": PARK, "answer": "old park"}] * 2
    for name in ("question", "context", "answer"):
        with pytest.raises(UserError, match="row 2"):
            data.read(QA, written(tmp_path, [rows[0], rows[1] | {name: None}]))
    with pytest.raises(UserError, match="context or text"):
        data.read(QA, written(tmp_path, [{"question": "Where?", "answer": "x"}]))


def test_the_floor_adds_rare_words_of_the_right_sentence():
    train, validation = (data.read(QA, "samples", split) for split in ("train", "validation"))
    answers = QA.make_floor(train)(validation.inputs)
    for given, answer in zip(validation.inputs, answers, strict=True):
        assert 1 <= len(answer.split()) <= 3 and answer in " ".join(given["context"].split())
    f1 = metrics_of(QA)[0]
    assert 0.05 < f1.value(f1.statistics(answers, validation.targets).sum(0)) < 0.5
    context = "The dog sleeps. The bridge was repaired by monks. The cat sleeps."
    (answer,) = QA.make_floor(train)([{"question": "Who repaired the bridge?", "context": context}])
    assert "monks" in answer


# --- training rows ---


def features(rows: list[tuple[str, str, list[str]]], **options) -> dict:
    inputs = [{"question": question, "context": context} for question, context, _ in rows]
    targets = [{"text": texts, "answer_start": [c.find(text) for text in texts]} for _, c, texts in rows]
    return question_answering.features(qa_models.words_tokenizer(), inputs, targets, **options)


def test_marked_tokens_are_the_answer():
    """Also inside words, at both ends, with blanks and letters that the tokenizer folds."""
    answers = ["Two", "football", "ball in", "the old park", "didn't answer", "12.50", "happy.", PARK]
    found = features([("Who is it?", PARK, [answer]) for answer in answers])
    tokenizer = qa_models.words_tokenizer()
    for answer, ids, types, context, (first, last) in zip(answers, *found.values(), strict=True):
        # the second is a piece of a word
        expected = ["##ball", "in"] if answer == "ball in" else tokenizer.tokenize(answer)
        assert tokenizer.convert_ids_to_tokens(ids[first : last + 1]) == expected
        assert context == (types.index(1), len(ids) - 2) and ids[context[1] + 1] == tokenizer.sep_token_id
        assert ids[: types.index(1)] == tokenizer("Who is it?")["input_ids"]


def test_the_answer_of_most_annotators_counts():
    (place,) = features([("Where?", PARK, ["in the old park", "old park", "old park"])])["answer"]
    (single,) = features([("Where?", PARK, ["old park"])])["answer"]
    assert place == single


@pytest.mark.parametrize("size", (24, 40))
def test_of_a_long_context_the_window_around_the_answer_stays(size):
    tokenizer = qa_models.words_tokenizer()
    for place in range(0, 30, 3):
        words = ["the old park"] * 30
        words[place] = "Football"
        found = features([("Who is it?", ", ".join(words), ["Football"])], max_length=size)
        ((first, last),), (ids,) = found["answer"], found["input_ids"]
        assert len(ids) <= size and tokenizer.decode(ids[first : last + 1]) == "football"
        start, end = found["context"][0]
        room = min(first - start, end - last)
        # windows share a quarter, so that one shows at least half of this on either side; but a text has ends
        assert room >= (size // 4 - (last - first + 1)) // 2 or not 3 < place < 27


def test_rows_that_teach_nothing_are_left_out():
    rows = [
        ("Where?", PARK, ["old park"]),
        ("Where?", PARK, ["not there"]),
        ("Where?", PARK, []),
        ("Where?", PARK, [" "]),
        ("old " * 20, PARK, ["old park"]),  # no room beside the question
        ("Where?", PARK, [PARK[:-9]]),  # longer than any window
    ]
    found = features(rows, max_length=20)
    assert {name: len(column) for name, column in found.items()} == dict.fromkeys(found, 1)


def test_a_batch_is_padded_and_marks_where_answers_can_be():
    found = features([("Who?", "I am happy.", ["happy"]), ("Who is it?", PARK, ["old park"])])
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    batch = question_answering.collate(rows, qa_models.formula().config)
    for i, row in enumerate(rows):
        size = len(row["input_ids"])
        assert batch["input_ids"][i, :size].tolist() == row["input_ids"] and not batch["input_ids"][i, size:].any()
        assert batch["attention_mask"][i].tolist() == [1] * size + [0] * (batch["input_ids"].shape[1] - size)
        places = [0, *range(row["context"][0], row["context"][1] + 1)]  # [CLS] and the context
        assert batch["mine"][i].nonzero().flatten().tolist() == places
        assert (batch["start_positions"][i].item(), batch["end_positions"][i].item()) == row["answer"]
    assert question_answering.length(rows[0]) == len(rows[0]["input_ids"])
    assert question_answering.count(rows[0]) == 1


@pytest.mark.parametrize("family", ("bert", "lstm"))
def test_loss_is_summed_over_rows_and_padding_has_no_part(family):
    model = qa_models.reader(family, qa_models.words_tokenizer())
    found = features([("Who?", "I am happy.", ["happy"]), ("Who is it?", PARK, ["old park"]), ("?", PARK, ["men"])])
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    together = question_answering.loss(model, question_answering.collate(rows, model.config))
    alone = [question_answering.loss(model, question_answering.collate([row], model.config)) for row in rows]
    torch.testing.assert_close(together, sum(alone), rtol=1e-4, atol=1e-4)
    # by hand: minus the log of the right start's and end's share, over [CLS] and the context
    row = rows[1]
    batch = {name: torch.tensor([row[name]]) for name in ("input_ids", "token_type_ids")}
    output, places = model(**batch), [0, *range(row["context"][0], row["context"][1] + 1)]
    ends = zip((output.start_logits[0], output.end_logits[0]), row["answer"], strict=True)
    expected = sum(scores[places].logsumexp(0) - scores[place] for scores, place in ends) / 2
    torch.testing.assert_close(alone[1], expected, rtol=1e-4, atol=1e-4)


def test_a_base_that_read_shorter_texts_does_not_shorten_the_windows(tmp_path, word_tokenizer, tiny_bert):
    """What a bundled encoder was last trained on may be shorter than a context: only its positions bind."""
    from scripts import recipe, start

    folder = shutil.copytree(tiny_bert, tmp_path / "short")
    type(word_tokenizer).from_pretrained(folder, model_max_length=32).save_pretrained(folder)
    rows, settings = data.read(QA, "samples", "train"), recipe.Recipe(init=str(folder), max_length=64)
    tokenizer, _ = start.tokenizer_and_model(QA, "bert", settings, rows, None)
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize("family", ("bert", "lstm"))
def test_a_training_writes_a_checkpoint_that_answers(family, tmp_path, run):
    settings = {"sizes": training_runs.SIZES[family], "max_steps": 6, "evaluate_every": 3, "lora": 0}
    assert training_runs.train(training_runs.arguments("qa", family, tmp_path / "run", **settings)) == 0
    record = training_runs.record_of(tmp_path / "run")
    assert list(record["validation"]) == ["f1", "exact_match"] and record["steps"] == 6
    assert training_runs.log_of(tmp_path / "run")[-1]["step"] == 6
    status, lines, err = run(QA, "Where?", "--context", PARK, "--model", tmp_path / "run")
    assert (status, err) == (0, "") and lines[0] in PARK
