"""Similarity: its metrics, its data and floor, the pipelines of three families, its command."""

import json
import random

import numpy as np
import pytest
import torch
import transformers
from conftest import ENGLISH, seeded
from pipe_tools import heard, near
from scipy.stats import pearsonr, spearmanr
from transformers import BertTokenizer

from pipelines import UserError, hub, pipeline, scratch, written_similarity
from tasks import cli, data, load
from tasks.bootstrap import interval, paired_bootstrap
from tasks.metrics import metrics_of

SIMILARITY = load("similarity")
PAIRS = [(ENGLISH[i], ENGLISH[(5 * i + 3) % len(ENGLISH)]) for i in range(len(ENGLISH))]
SIZES = {
    "bert": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "lstm": {"d_model": 32, "hidden_size": 32, "siamese": True},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
}


def folder_of(family: str, path, tokenizer):
    torch.manual_seed(0)
    model = scratch.new_model(SIMILARITY.kind_of(family), family, tokenizer, SIZES[family])
    seeded(model, seed=1)
    model.config.task_specific_params = {"sentence-similarity": {"range": [-50.0, 50.0]}}
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def folders(tmp_path_factory, word_tokenizer):
    """A folder of each family with random weights."""
    prefix = "stsb sentence1: "
    pieces = scratch.sentencepiece_tokenizer([*ENGLISH, *written_similarity.ANSWERS], 120, prefix)
    pieces.model_max_length = 128
    made = tmp_path_factory.mktemp("similarity")
    return {f: folder_of(f, made / f, pieces if f == "t5" else word_tokenizer) for f in SIZES}


@pytest.fixture(params=SIZES)
def pipe(request, folders):
    return pipeline("similarity", model=folders[request.param], device="cpu")


# --- metrics ---


def test_correlations_are_scipys_also_with_ties():
    draw = random.Random(1)
    real = [draw.randrange(26) / 5 for _ in range(200)]
    given = [round(x + draw.gauss(0, 1.5), 1) for x in real]
    pearson, spearman = metrics_of(SIMILARITY)
    assert (pearson.key, spearman.key) == ("pearson", "spearman")
    assert pearson.compute(predictions=given, references=real)["pearson"] == pytest.approx(pearsonr(given, real)[0])
    assert spearman.compute(predictions=given, references=real)["spearman"] == pytest.approx(spearmanr(given, real)[0])
    assert pearson.compute(predictions=[-x for x in real], references=real) == {"pearson": pytest.approx(-1)}
    cubes = [x**3 for x in real]
    assert spearman.compute(predictions=cubes, references=real) == {"spearman": pytest.approx(1)}
    for metric in (pearson, spearman):  # nothing to correlate
        assert metric.compute(predictions=[2.6] * 200, references=real)[metric.key] == 0
        assert metric.compute(predictions=[1.0], references=[2.0])[metric.key] == 0


def test_intervals_of_a_correlation_and_the_test_of_two():
    draw = np.random.default_rng(2)
    real = draw.uniform(0, 5, 400)
    good, bad = real + draw.normal(0, 1, 400), real + draw.normal(0, 4, 400)
    for metric in metrics_of(SIMILARITY):
        ours, theirs = (metric.statistics(list(given), list(real)) for given in (good, bad))
        found = interval(metric, ours)
        assert found["low"] < found["value"] < found["high"] < 1 and found["range"] == "-1 to 1"
        # Fisher's interval of a correlation, from the textbook
        center, reach = np.arctanh(found["value"]), 1.96 / np.sqrt(400 - 3)
        assert found["low"] == pytest.approx(np.tanh(center - reach), abs=0.02)
        assert paired_bootstrap(metric, ours, theirs)["p_value"] < 0.01


# --- data and floor ---


def test_the_data_sets_scale_becomes_ours_and_a_file_keeps_its_own(tmp_path, monkeypatch):
    rows = [{"sentence1": a, "sentence2": b, "score": i / 10} for i, (a, b) in enumerate(PAIRS[:3])]
    mirror = tmp_path / "sentence-transformers" / "stsb"
    mirror.mkdir(parents=True)
    for file in (mirror / "validation-0.jsonl", tmp_path / "mine.jsonl"):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("DUET_DATA", str(tmp_path))
    for source in (None, str(mirror), str(mirror / "validation-0.jsonl")):
        found = data.read(SIMILARITY, source)
        assert found.targets == pytest.approx([0, 0.5, 1.0])
        assert found.inputs == [{"text": a, "text_pair": b} for a, b in PAIRS[:3]]
    assert data.read(SIMILARITY, str(tmp_path / "mine.jsonl")).targets == [0, 0.1, 0.2]


@pytest.mark.parametrize("score", ["much", "nan", None])
def test_a_score_that_is_no_number_is_named(tmp_path, score):
    rows = [{"sentence1": "a", "sentence2": "b", "label": value} for value in ("1.5", score)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="row 2"):
        data.read(SIMILARITY, str(tmp_path / "mine.jsonl"))


def test_samples_cover_the_scale_and_the_floor_beats_chance_on_them():
    train, rows = (data.read(SIMILARITY, "samples", split) for split in ("train", "validation"))
    for part in (train, rows):
        counts = np.histogram(part.targets, bins=5, range=(0, 5))[0]
        assert min(counts) >= len(part) / 10
    answer = SIMILARITY.make_floor(train)
    predictions = answer(rows.inputs)
    assert all(type(score) is float and 0 <= score <= 5 for score in predictions)
    pearson = metrics_of(SIMILARITY)[0]
    assert 0.2 < pearson.compute(predictions=predictions, references=rows.targets)["pearson"] < 0.7
    alike, other = answer([{"text": "a dog", "text_pair": "a dog"}, {"text": "a dog", "text_pair": "the law"}])
    assert alike > other


# --- pipelines ---


def test_every_form_of_a_pair_has_the_same_answer_alone_and_in_a_batch(pipe):
    pipe.model.double()  # in float32 a score of -5 is off by 2.4e-6 on some CPUs: more than `near` allows
    alone = [pipe(pair) for pair in PAIRS]
    assert all(set(output) == {"score"} and type(output["score"]) is float for output in alone)
    assert len({round(output["score"], 3) for output in alone}) > 3
    dicts = [{"text": one, "text_pair": other} for one, other in PAIRS]
    for given in (PAIRS, dicts, list(map(list, PAIRS))):
        assert near(pipe(given, batch_size=5), alone)
    assert near(list(pipe(iter(dicts), batch_size=3)), alone)
    assert near(pipe(dicts[0]), alone[0]) and pipe([]) == []


def test_a_long_text_is_read_in_parts_and_whole(pipe):
    long, window = " ".join(ENGLISH), pipe._window
    for given in ((long, ENGLISH[1]), (ENGLISH[1], long)):
        with heard(pipe) as parts:
            found = pipe(given)
        assert len(parts) > 2 and all(len(part) <= window for part in parts)
        read = "".join(pipe.tokenizer.decode(part, skip_special_tokens=True) for part in parts).replace(" ", "")
        words = pipe.tokenizer.decode(pipe.tokenizer(long)["input_ids"], skip_special_tokens=True).split()
        assert all(word in read for word in words)
        assert found == pytest.approx(pipe(given, batch_size=2), abs=1e-4)
    with pytest.raises(UserError, match="both texts of a pair are too long"):
        pipe((long, long))
    assert set(pipe((long, long), truncation=True)) == {"score"} and pipe.dropped_tokens > 0


def test_the_calls_of_a_classifier_are_taken_by_each_family(pipe):
    for options in ({"top_k": None}, {"function_to_apply": "none"}, {"padding": True}, {"truncation": True}):
        assert near(pipe(PAIRS[:3], batch_size=2, **options), pipe(PAIRS[:3]))
        assert near(pipe(PAIRS[0], **options), pipe(PAIRS[0]))


@pytest.mark.parametrize(("pair", "which"), ((("", "a"), "first"), (("a", " \n"), "second"), (("", ""), "first")))
def test_an_empty_text_has_no_score(pipe, pair, which):
    for given in (pair, dict(zip(("text", "text_pair"), pair, strict=True)), [PAIRS[0], pair]):
        with pytest.raises(UserError, match=f"the {which} is empty"):
            pipe(given)


@pytest.mark.parametrize("given", ["one text", ["one", "two"], {"text": "one"}, [("one", "two", "three")], [(1, 2)]])
def test_what_is_no_pair_is_refused(pipe, given):
    with pytest.raises(UserError, match="similarity takes two texts"):
        pipe(given)


def test_the_score_is_what_transformers_gives_and_stays_in_range(folders):
    theirs = transformers.pipeline("text-classification", model=str(folders["bert"]), device="cpu", dtype=torch.float32)
    dicts = [{"text": one, "text_pair": other} for one, other in PAIRS]
    raw = [output["score"] for output in theirs(dicts)]
    pipe = pipeline("similarity", model=folders["bert"], device="cpu")
    assert [output["score"] for output in pipe(dicts)] == pytest.approx(raw, abs=1e-5)
    pipe._range = (middle := sorted(raw)[4], sorted(raw)[7])
    bounded = [output["score"] for output in pipe(dicts)]
    assert min(bounded) == pytest.approx(middle) and sum(score == min(bounded) for score in bounded) >= 4


def test_a_model_of_labels_is_refused(tiny_bert, tiny_lstm_classifier):
    for folder in (tiny_bert, tiny_lstm_classifier):
        with pytest.raises(UserError, match="chooses among 2 labels: sentence-similarity needs one number"):
            pipeline("similarity", model=folder, device="cpu")


def test_a_t5_writes_the_likeliest_number(folders):
    pipe = pipeline("similarity", model=folders["t5"], device="cpu")
    scores = {pipe(pair)["score"] for pair in PAIRS}
    assert scores <= {n / 5 for n in range(26)} and len(scores) > 1
    answers = [pipe.tokenizer(text)["input_ids"] for text in written_similarity.ANSWERS]
    source = pipe.tokenizer(f"stsb sentence1: {PAIRS[2][0]} sentence2: {PAIRS[2][1]}", return_tensors="pt")
    written = []
    while written[-1:] != [pipe.tokenizer.eos_token_id]:  # greedy, over what leads to a number
        place = len(written)
        allowed = {ids[place] for ids in answers if ids[:place] == written}
        start = torch.tensor([[pipe.model.config.decoder_start_token_id, *written]])
        with torch.no_grad():
            logits = pipe.model(**source, decoder_input_ids=start).logits[0, -1]
        written.append(max(allowed, key=lambda token: logits[token]))
    assert pipe(PAIRS[2]) == {"score": float(pipe.tokenizer.decode(written, skip_special_tokens=True))}


def test_a_vocabulary_without_all_digits_writes_what_it_can(tiny_t5, piece_tokenizer):
    pipe = pipeline("similarity", model=tiny_t5, device="cpu")
    assert pipe(("No.", "Well done!"))["score"] in {0.0, 0.2, 1.0, 1.2, 2.0, 2.2, 5.0}
    lacking = BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3})
    with pytest.raises(UserError, match="its vocabulary has none"):
        pipeline("similarity", model=pipe.model, tokenizer=lacking, device="cpu")


# --- the command ---


def test_the_command_takes_two_texts_or_compares_the_first_with_each(folders, run):
    status, lines, err = run(SIMILARITY, "--model", folders["lstm"], *PAIRS[0])
    assert (status, err) == (0, "") and len(lines) == 1
    score = lines[0]
    assert score == f"{float(score):.2f}"
    status, lines, err = run(SIMILARITY, "--model", folders["lstm"], *PAIRS[0], " ", "Well done!")
    assert status == 1 and "text 3: empty text" in err
    assert lines[0] == "\t".join([score, *PAIRS[0]]) and lines[1] == "" and lines[2].endswith("I am happy.\tWell done!")
    assert run(SIMILARITY, "--model", folders["lstm"], "alone")[0] == 2
    assert "a pair is two texts, as in: python -m tasks.similarity" in run(SIMILARITY, "alone")[2]
    assert "give either texts or --file, not both" in run(SIMILARITY, *PAIRS[0], "--file", "pairs.csv")[2]


def test_an_empty_first_text_is_the_one_that_is_blamed(run):
    for others, said in ((["b"], 1), (["b", ""], 2)):
        status, _, err = run(SIMILARITY, "", *others)
        assert status == 1 and err.splitlines() == ["python -m tasks.similarity: text 1: empty text"] * said
    assert "text 2: empty text" in run(SIMILARITY, "a", "")[2]


def test_help_offers_the_families_that_are_bundled(monkeypatch):
    for bundled, offered in (({}, "transformer (bert), lstm, a Hub"), ({"t5": None}, "(bert), lstm, t5, a Hub")):
        monkeypatch.setattr(hub, "bundled", lambda bundled=bundled: {"similarity": bundled})
        assert offered in " ".join(cli.parser(SIMILARITY).format_help().split())


def test_the_command_reads_lines_with_a_tab_and_tables(folders, run, tmp_path):
    status, lines, err = run(SIMILARITY, "--model", folders["t5"], "--json", stdin=b"a\tb\nno pair\n\na\tb\tc\nc\td\n")
    records = [json.loads(line) for line in lines]
    assert status == 1 and [record["output"] is None for record in records] == [False, True, True, True, False]
    assert records[0]["input"] == {"text": "a", "text_pair": "b"} and set(records[0]["output"]) == {"score"}
    assert "line 2: a line is two texts with a tab between them" in err and "line 3: empty text" in err
    (tmp_path / "a.csv").write_text("sentence1,sentence2,other\nA dog.,A cat.,Two dogs.\nA dog.,,A cow.\n")
    flags = ["--model", folders["bert"], "--file", tmp_path / "a.csv"]
    status, lines, err = run(SIMILARITY, *flags)
    assert status == 1 and lines[0].endswith("A dog.\tA cat.") and "line 3: empty text as the other text" in err
    status, lines, _ = run(SIMILARITY, *flags, "--pair-column", "other")
    assert status == 0 and [line.split("\t")[2] for line in lines] == ["Two dogs.", "A cow."]
    assert "choose from sentence1, sentence2, other" in run(SIMILARITY, *flags, "--pair-column", "others")[2]
    assert run(SIMILARITY, "--pair-column", "other", *PAIRS[0])[0] == 2


def test_the_command_compares_models(folders, run):
    arms = [flag for family in ("t5", "bert") for flag in ("--model", folders[family])]
    status, lines, _ = run(SIMILARITY, *arms, "--compare", "--json", *PAIRS[0])
    record = json.loads(lines[0])
    assert status == 0 and record["input"] == dict(zip(("text", "text_pair"), PAIRS[0], strict=True))
    assert [set(answer["output"]) for answer in record["answers"]] == [{"score"}] * 2
    status, lines, _ = run(SIMILARITY, *arms, "--compare", *PAIRS[0])
    assert status == 0 and any(PAIRS[0][0] in line for line in lines)
