"""Reading data: every format, every shape of target, and every way in which a file can be wrong."""

import csv
import json

import datasets
import pytest

from pipelines import hub
from pipelines.errors import UserError
from tasks import data, load

TRANSLATE, SENTIMENT = load("translate"), load("sentiment")
PAIRS = [
    ("A dog.", "Un chien."),
    ("NA", "s.o."),
    ('He said: "no, thanks"', "« non »"),
    ("1984", "1984"),
    ("Two\nlines", "x"),
]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No mirror, no Hub, and a cache of the test's own."""
    monkeypatch.delenv("DUET_DATA", raising=False)
    monkeypatch.setattr(hub, "offline", lambda: True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def written(path, rows):
    """`rows` (dictionaries) in the format of the path's suffix."""
    if path.suffix == ".jsonl":
        return jsonl(path, rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        datasets.Dataset.from_list(rows).to_parquet(path)
    return str(path)


@pytest.mark.parametrize("suffix", data.FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    file = written(tmp_path / f"mine{suffix}", [{"id": i, "en": en, "fr": fr} for i, (en, fr) in enumerate(PAIRS)])
    rows = data.read(TRANSLATE, file)
    assert rows.inputs == [en for en, _ in PAIRS]
    assert rows.targets == [[fr] for _, fr in PAIRS]
    assert (rows.source, len(rows)) == (file, len(PAIRS))


def test_references_may_be_one_or_several(tmp_path):
    file = jsonl(
        tmp_path / "a.jsonl", [{"en": "Hi.", "fr": ["Salut.", "Bonjour."]}, {"en": "Bye.", "fr": ["Au revoir."]}]
    )
    assert data.read(TRANSLATE, file).targets == [["Salut.", "Bonjour."], ["Au revoir."]]
    file = jsonl(tmp_path / "b.jsonl", [{"en": "Hi.", "fr": ["Salut."]}, {"en": "Bye.", "fr": []}])
    with pytest.raises(UserError, match=r"b\.jsonl: row 2 has an empty field"):
        data.read(TRANSLATE, file)


@pytest.mark.parametrize(
    "labels", [[1, 0], ["1", "0"], ["positive", "negative"], ["Positive ", "NEGATIVE"], ["LABEL_1", "LABEL_0"]]
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_labels_come_as_name_number_or_label_n(tmp_path, labels, suffix):
    rows = [{"text": "good", "label": labels[0]}, {"text": "bad", "label": labels[1]}]
    read = data.read(SENTIMENT, written(tmp_path / f"mine{suffix}", rows))
    assert read.targets == ["positive", "negative"]
    assert read.inputs == ["good", "bad"]


def test_the_first_accepted_column_is_taken(tmp_path):
    file = jsonl(tmp_path / "a.jsonl", [{"text": "no", "sentence": "yes", "label": 1}])
    assert data.read(SENTIMENT, file).inputs == ["yes"]


@pytest.mark.parametrize("label", ["neutral", 2, -1, None, "²", "LABEL_7", ""])
def test_an_unknown_label_is_named_with_its_row_and_the_choices(tmp_path, label):
    file = jsonl(
        tmp_path / "a.jsonl", [{"text": "good", "label": "1"}, {"text": "so so", "label": label and str(label)}]
    )
    with pytest.raises(UserError, match=r"a\.jsonl: row 2.*(choose from negative, positive|empty field)"):
        data.read(SENTIMENT, file)


def test_a_missing_column_lists_what_is_there(tmp_path):
    file = jsonl(tmp_path / "a.jsonl", [{"english": "Hi.", "fr": "Salut."}])
    with pytest.raises(UserError, match="translate needs a column en; there are: english, fr"):
        data.read(TRANSLATE, file)
    file = jsonl(tmp_path / "b.jsonl", [{"body": "Hi.", "label": 0}])
    with pytest.raises(UserError, match="needs a column sentence or text; there are: body, label"):
        data.read(SENTIMENT, file)


def test_an_empty_cell_is_named_with_its_row(tmp_path):
    file = written(tmp_path / "a.csv", [{"en": "Hi.", "fr": "Salut."}, {"en": "Bye.", "fr": ""}, {"en": "", "fr": "x"}])
    with pytest.raises(UserError, match=r"row 2 has an empty field \(2 such rows\)"):
        data.read(TRANSLATE, file)


@pytest.mark.parametrize("suffix", data.FORMATS)
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xfe" * 50])
def test_an_empty_or_binary_file_is_one_clear_line(tmp_path, suffix, content):
    file = tmp_path / f"odd{suffix}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"odd\{suffix}") as caught:
        data.read(TRANSLATE, str(file))
    assert "\n" not in str(caught.value)


def test_a_table_without_rows_is_an_error(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("en,fr\n")
    with pytest.raises(UserError, match=r"a\.csv.*no rows"):
        data.read(TRANSLATE, str(file))


def test_a_broken_line_of_json_is_one_clear_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"en": "Hi.", "fr": "Salut."}\n{"en": "Bye.", "fr": \n')
    with pytest.raises(UserError, match=r"a\.jsonl: can't be read as json") as caught:
        data.read(TRANSLATE, str(file))
    assert "\n" not in str(caught.value)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(UserError, match="no such file: .*nowhere.csv"):
        data.read(TRANSLATE, str(tmp_path / "nowhere.csv"))
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UserError, match=r"can't tell the format; choose from \.jsonl"):
        data.read(TRANSLATE, str(tmp_path / "a.docx"))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """`DUET_DATA` with translate's two sources, whose folders have the same last name."""
    for org, marks in (
        ("multi30k", {"train": 3, "validation": 2, "test": 1}),
        ("tatoeba", {"train": 4, "validation": 1}),
    ):
        for split, count in marks.items():
            rows = [{"en": f"{org} {split} {i}", "fr": "x"} for i in range(count)]
            folder = tmp_path / "mirror" / org / "en-fr"
            folder.mkdir(parents=True, exist_ok=True)
            written(folder / f"{split}-00000-of-00001.parquet", rows)
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def test_the_mirror_wins_and_the_split_is_the_tasks_own(mirror):
    rows = data.read(TRANSLATE)
    assert (rows.inputs, rows.source, rows.split) == (["multi30k test 0"], "multi30k/en-fr", "test")
    assert data.read(TRANSLATE, split="validation").inputs == ["multi30k validation 0", "multi30k validation 1"]


def test_folders_of_the_same_name_are_not_mixed_up(mirror):
    for org, count in (("multi30k", 3), ("tatoeba", 4)):
        expected = [f"{org} train {i}" for i in range(count)]
        assert data.read(TRANSLATE, f"{org}/en-fr", "train").inputs == expected
        assert data.read(TRANSLATE, str(mirror / org / "en-fr"), "train").inputs == expected


def test_a_missing_split_lists_the_splits(mirror):
    with pytest.raises(UserError, match="no split 'test': choose from train, validation"):
        data.read(TRANSLATE, "tatoeba/en-fr")


def test_read_all_joins_sources_and_counts_one_named_twice_twice(mirror):
    rows = data.read_all(TRANSLATE, ["multi30k/en-fr", "tatoeba/en-fr:2", "tatoeba/en-fr:2"], "train")
    assert rows.inputs[:3] == ["multi30k train 0", "multi30k train 1", "multi30k train 2"]
    assert rows.inputs[3:5] == rows.inputs[5:] and len(rows) == 7
    assert rows.source == "multi30k/en-fr + tatoeba/en-fr + tatoeba/en-fr"
    assert len(data.read_all(TRANSLATE, ["multi30k/en-fr"], "train", limit=2)) == 2


def test_limits_keep_the_order_and_repeat_with_the_seed(mirror):
    whole = data.read(TRANSLATE, "tatoeba/en-fr", "train")
    part = data.read(TRANSLATE, "tatoeba/en-fr:3", "train")
    assert len(part) == 3 and part.inputs == sorted(part.inputs)
    assert part == data.read(TRANSLATE, "tatoeba/en-fr", "train", limit=3)
    assert whole.take(None) is whole and whole.take(99) is whole
    assert len({tuple(whole.take(2, seed).inputs) for seed in range(20)}) > 1
    assert len(data.read(TRANSLATE, "tatoeba/en-fr:3", "train", limit=2)) == 2  # the smaller of the two


@pytest.fixture
def samples(tmp_path, monkeypatch):
    rows = [{"en": f"s{i}", "fr": "x", "split": "train" if i < 3 else "validation"} for i in range(5)]
    jsonl(tmp_path / "samples" / "translate.jsonl", rows)
    monkeypatch.setattr(data, "SAMPLES", tmp_path / "samples")


def test_without_mirror_and_hub_the_samples_serve_and_say_so(samples, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a network call while the Hub is known to be out of reach")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    rows = data.read(TRANSLATE)
    assert (rows.source, rows.split, rows.inputs) == ("samples", "validation", ["s3", "s4"])
    assert data.read(TRANSLATE, split="train").inputs == ["s0", "s1", "s2"]
    assert data.read(TRANSLATE, "samples").inputs == ["s3", "s4"]


def test_a_data_set_that_was_asked_for_by_name_is_never_replaced(samples, monkeypatch):
    with pytest.raises(UserError, match=r"'nobody/nothing' is no file.*The task's own: multi30k/en-fr, .*samples"):
        data.read(TRANSLATE, "nobody/nothing")
    with pytest.raises(UserError, match="multi30k/en-fr"):  # named, even though it is the default
        data.read(TRANSLATE, "multi30k/en-fr")


def test_being_offline_is_not_remembered(samples):
    import huggingface_hub.constants as constants

    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    data.read(TRANSLATE)
    assert before == (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
