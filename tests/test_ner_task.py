"""The task `ner`: reading tagged words, the metrics against seqeval, the floor, the command line."""

import json
import random

import pytest
from ner_models import TEXTS, tagger
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from pipelines import UserError
from tasks import cli, data, load, marking
from tasks.entities import from_tags, own_types
from tasks.metrics import METRICS, metrics_of
from tasks.predict import prediction

TASK = load("ner")
WNUT = [
    "O",
    *(f"{p}-{t}" for t in ("corporation", "creative-work", "group", "location", "person", "product") for p in "BI"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory, word_tokenizer):
    folder = tmp_path_factory.mktemp("models") / "ner-lstm"
    tagger("lstm", word_tokenizer, folder)
    return folder


# --- data ---


def parquet(path, tokens, tags, names=None):
    from datasets import ClassLabel, Dataset, Features, List, Value

    kind = ClassLabel(names=names) if names else Value("int64" if isinstance(tags[0][0], int) else "string")
    features = Features({"id": Value("string"), "tokens": List(Value("string")), "ner_tags": List(kind)})
    rows = {"id": [str(i) for i in range(len(tokens))], "tokens": tokens, "ner_tags": tags}
    Dataset.from_dict(rows, features=features).to_parquet(path)
    return str(path)


TOKENS = [["Ann", "Lee", "of", "Acme"], ["Hello", "!"], ["Rome"]]


def test_conll_and_wnut_tags_become_the_tasks_entities(tmp_path):
    conll = data.read(TASK, parquet(tmp_path / "a.parquet", TOKENS, [[1, 2, 0, 3], [0, 0], [5]], list(TASK.labels)))
    assert conll.inputs == [{"tokens": tokens} for tokens in TOKENS]
    assert conll.targets == [[["PER", 0, 7], ["ORG", 11, 15]], [], [["LOC", 0, 4]]]
    plain = parquet(tmp_path / "plain.parquet", TOKENS, [[1, 2, 0, 3], [0, 0], [5]])  # numbers without names
    assert data.read(TASK, plain).targets == conll.targets
    wnut = parquet(tmp_path / "b.parquet", TOKENS, [[9, 10, 0, 5], [3, 11], [7]], WNUT)
    assert data.read(TASK, wnut).targets == [
        [["PER", 0, 7], ["ORG", 11, 15]],
        [["MISC", 0, 5], ["MISC", 6, 7]],
        [["LOC", 0, 4]],
    ]


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "B-PER", "O", "B-ORG"],
        ["I-PER", "I-PER", "B-PER", "O", "I-ORG"],  # IOB1
        ["B-PER", "E-PER", "S-PER", "O", "S-ORG"],  # IOBES
        ["B-PER", "L-PER", "U-PER", "O", "U-ORG"],  # BILOU
        ["B-person", "I-person", "B-Person", "O", "B-corporation"],
    ],
)
def test_every_scheme_of_tags(tags, tmp_path):
    words = ["Ann", "Lee", "Bo", "of", "Acme"]
    wanted = [["PER", 0, 7], ["PER", 8, 10], ["ORG", 14, 18]]
    assert from_tags(TASK, words, tags) == wanted
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"words": words, "tags": tags}) + "\n")
    assert data.read(TASK, str(file)).targets == [wanted]


@pytest.mark.parametrize(
    "row, said",
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "row 1 needs a list of words and as many tags"),
        ({"tokens": [], "tags": []}, "row 1 needs a list"),
        ({"text": "a b", "tags": ["O", "O"]}, "row 1 needs a list"),
        ({"tokens": ["a", None], "tags": ["O", "O"]}, "row 1 has a word or a tag that is empty"),
        ({"tokens": ["a"], "tags": ["B-ANIMAL"]}, "unknown type 'ANIMAL': choose from PER, ORG, LOC, MISC"),
        ({"tokens": ["a"], "tags": ["PER"]}, "a tag is O or B-TYPE"),
        ({"tokens": ["a"], "tags": [9]}, "has the tag 9, but the task has 9"),
        ({"words_": ["a"], "tags": ["O"]}, "needs a column tokens or words"),
    ],
)
def test_rows_that_can_not_be_read(tmp_path, row, said):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=said):
        data.read(TASK, str(file))


def test_predictions_go_by_the_tasks_types():
    output = [{"entity_group": "person", "start": 0, "end": 3}, {"entity_group": "DATE", "start": 4, "end": 8}]
    assert prediction(TASK, output) == [["PER", 0, 3]] == own_types(TASK, [["PER", 0, 3], ["DATE", 4, 8]])


# --- metrics ---


def test_metrics_are_seqevals_strict_values():
    chance = random.Random(3)

    def tags(length):
        rows, before = [], "O"
        for _ in range(length):
            inside = ["I" + before[1:]] * 2 if before != "O" else []
            rows.append(before := chance.choice([*TASK.labels[::2][:1], *TASK.labels[1::2], *inside]))
        return rows

    lengths = [chance.randrange(1, 12) for _ in range(60)]
    real = [tags(n) for n in lengths]
    guessed = [row if chance.random() < 0.4 else tags(len(row)) for row in real]
    entities = [[from_tags(TASK, ["w"] * len(row), row) for row in rows] for rows in (guessed, real)]
    options = {"mode": "strict", "scheme": IOB2}
    for metric, theirs in zip(metrics_of(TASK), (f1_score, precision_score, recall_score), strict=True):
        expected = theirs(real, guessed, **options)
        assert 0.2 < expected < 0.9
        assert metric.compute(predictions=entities[0], references=entities[1])[metric.key] == pytest.approx(expected)


def test_metrics_by_hand():
    real = [[["PER", 0, 3], ["LOC", 5, 9]], []]
    guessed = [[["PER", 0, 3], ["PER", 0, 3], ["ORG", 5, 9]], [["MISC", 0, 1]]]
    f1, precision, recall = (METRICS[name]() for name in TASK.metrics)
    statistics = f1.statistics(guessed, real)
    assert statistics.tolist() == [[1, 2, 2], [0, 1, 0]]  # an entity counts once however often it is said
    values = [metric.value(statistics.sum(0)) for metric in (f1, precision, recall)]
    assert values == pytest.approx([2 / 5, 1 / 3, 1 / 2])
    nothing = f1.statistics([[], []], [[], []]).sum(0)
    assert [metric.value(nothing) for metric in (f1, precision, recall)] == [0, 0, 0]


# --- the floor ---


def test_the_floor_is_the_longest_known_name_of_its_most_frequent_type():
    texts = [["New", "York", "won"], ["New", "York", "Post", "says"], ["York", "is", "old"], ["York", "is"]]
    texts += [["May", "may", "come"], ["in", "May"], ["May", "ends"], ["Chile", "and", "Chile"], ["New", "York"]]
    found = [["LOC", 0, 8]], [["ORG", 0, 13]], [["ORG", 0, 4]], [["LOC", 0, 4]], [["PER", 0, 3]], [], []
    train = data.Rows(
        [{"tokens": t} for t in texts],
        [*map(list, found), [["LOC", 0, 5], ["LOC", 10, 15]], [["LOC", 0, 8]]],
        "here",
        "train",
    )
    floor = TASK.make_floor(train)
    answers = floor([{"tokens": t} for t in (["The", "New", "York", "Post"], ["May", "in", "new", "York"], ["York"])])
    # "York" alone is a name in 2 of its 4 places, "May" in 1 of 3: neither in most
    assert answers == [[["ORG", 4, 17]], [], []]
    assert floor([{"tokens": ["Chile", ",", "New", "York"]}])[0] == [["LOC", 0, 5], ["LOC", 8, 16]]
    assert TASK.make_floor(data.Rows([{"tokens": ["a"]}], [[]], "here", "train"))([{"tokens": ["a"]}]) == [[]]


# --- the command ---


def test_one_text_is_answered_with_a_line_an_entity(run, model):
    status, lines, err = run(TASK, TEXTS[0], "--model", model)
    rows = [line.split("\t") for line in lines]
    assert status == 0 and err == "" and len(rows) > 1
    for kind, name, start, end, score in rows:
        assert (
            kind in ("PER", "ORG", "LOC", "MISC") and TEXTS[0][int(start) : int(end)] == name and 0 < float(score) <= 1
        )


def test_several_texts_are_answered_with_a_line_each(run, model):
    stdin = "\n".join([" ".join(TEXTS[0].split()), "", *TEXTS[2:4], ""]).encode()
    status, lines, err = run(TASK, "--model", model, stdin=stdin)
    assert status == 1 and "line 2: empty text" in err and len(lines) == 4 and lines[1] == ""
    for line, text in zip((lines[0], *lines[2:]), (TEXTS[0], *TEXTS[2:4]), strict=True):
        assert any(f"[{kind} " in line for kind in ("PER", "ORG", "LOC", "MISC"))
        for kind in ("PER", "ORG", "LOC", "MISC"):
            line = line.replace(f"[{kind} ", "")
        assert line.replace("]", "") == text


def test_json_and_files(run, model, tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [{"tokens": ["Ann", "met", "O'Neill", "."]}, {"tokens": [1]}, {"tokens": ["No"]}]
    file.write_text("\n".join(map(json.dumps, rows)))
    status, lines, err = run(TASK, "--file", file, "--json", "--model", model, "--aggregation-strategy", "none")
    records = [json.loads(line) for line in lines]
    assert status == 1 and "line 2: not a text" in err
    assert [record["input"] for record in records] == ["Ann met O'Neill .", "", "No"]
    assert all(set(word) == {"entity", "score", "index", "word", "start", "end"} for word in records[0]["output"])
    status, lines, _ = run(TASK, TEXTS[3], "--json", "--model", model)
    output = json.loads(lines[0])["output"]
    assert output and all(e["word"] == TEXTS[3][e["start"] : e["end"]] for e in output)
    assert set(output[0]) == {"entity_group", "score", "word", "start", "end"}


def test_a_hub_checkpoint_is_asked_for_entities(run, word_tokenizer, tmp_path):
    tagger("hub", word_tokenizer, tmp_path / "hub")
    _, lines, _ = run(TASK, TEXTS[0], "--json", "--model", tmp_path / "hub")
    assert all("entity_group" in entity for entity in json.loads(lines[0])["output"])


def test_compare_shows_both(run, model, word_tokenizer, tmp_path):
    tagger("bert", word_tokenizer, tmp_path / "other")
    status, lines, err = run(TASK, TEXTS[0], "No", "--compare", "--model", model, "--model", tmp_path / "other")
    assert status == 0 and any("O'Neill" in line for line in lines) and "latency" in err


def test_wrong_use(run, model):
    status, lines, err = run(TASK, "Ann", "--aggregation-strategy", "frist")
    assert (status, lines) == (2, []) and "Did you mean 'first'?" in err


ENTITIES = [
    {"entity_group": "PER", "word": "Ann", "start": 0, "end": 3, "score": 0.5},
    {"entity_group": "CITY", "word": "Oslo", "start": 10, "end": 14, "score": 0.25},
]


def test_the_view_on_a_terminal_is_coloured_and_obeys_no_text(monkeypatch):
    text = "Ann is in\nOslo \x1b[31m[b]now[/b]"
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    seen = marking.marked(ENTITIES, text, alone=True, terminal=True)
    assert " Ann [PER] " in seen and " Oslo [CITY] " in seen and "\x1b[30;46m" in seen and "[b]now[/b]" in seen
    assert "\x1b[31m" not in seen and seen.count("\n") == 2 and "PER   0.5000  Ann" in seen
    monkeypatch.setenv("NO_COLOR", "1")
    bare = marking.marked(ENTITIES, text, alone=False, terminal=True)
    assert "[30;46m" not in bare and " Ann [PER] " in bare and "\n" not in bare
    piped = marking.marked(ENTITIES, text, alone=False, terminal=False)
    assert piped == "[PER Ann] is in [CITY Oslo]  [31m[b]now[/b]"


def test_fields_of_no_entity_are_a_dash():
    assert marking.fields(ENTITIES) == ["PER", "Ann", "CITY", "Oslo"] and marking.fields([]) == ["–"]
    assert cli.READERS["token_classification"].FLAGS
