"""`tasks.inputs`: rows that differ in their columns, and columns of one name."""

import itertools
import json

import pyarrow
import pyarrow.parquet
import pytest

from pipelines import UserError
from tasks import inputs


def lines_of(tmp_path, *rows) -> str:
    """A .jsonl file; a text is a line as it is."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(file)


def test_objects_may_lack_what_others_have(tmp_path):
    file = lines_of(tmp_path, {"id": 1}, '"a string"', "{", {"text": "a", "id": 2}, {"text": "b", "day": 1}, {"id": 3})
    items = list(inputs.read([], file, None, ("title", "text"), more=("day",)))
    assert [item.where.rpartition(" ")[2] for item in items] == list("123456")
    assert items[0].error == "no column 'title or text'; there are: id"
    assert items[1].text == "a string" and items[2].error.startswith("not JSON")
    assert items[3].error == "no column 'day'; there are: text, id"
    assert (items[4].text, items[4].beside) == ("b", (1,))
    assert items[5].error == "no column 'text'; there are: id"


def test_a_column_that_no_object_has_is_wrong_use(tmp_path):
    file = lines_of(tmp_path, {"text": "a"}, {"text": "b", "id": 1})
    for column, more in (("txt", ()), (None, ("txt",))):
        with pytest.raises(UserError, match="a.jsonl, line 1: unknown column 'txt': choose from text. Did you mean"):
            next(inputs.read([], file, column, ("text",), more=more))


def test_items_wait_only_while_a_column_is_missing(tmp_path):
    file = lines_of(tmp_path, '"a string"', {"id": 1}, {"text": "a"}, *["{"] * 3)
    items = inputs.read([], file, None, ("text",))
    read = []
    for item in itertools.islice(items, 3):
        read.append(item.text or item.error)
    assert read == ["a string", "no column 'text'; there are: id", "a"]
    assert "not JSON" in next(items).error


@pytest.mark.parametrize("suffix", (".csv", ".parquet"))
def test_two_columns_of_the_chosen_name_are_refused(tmp_path, suffix):
    file, names = tmp_path / f"a{suffix}", ["headline", "headline", "title", "date", "date"]
    if suffix == ".csv":
        file.write_text(",".join(names) + "\na,b,c,d,e\n")
    else:
        pyarrow.parquet.write_table(pyarrow.table([["a"], ["b"], ["c"], ["d"], ["e"]], names=names), file)
    for more, name in (((), "headline"), (("date",), "date")):
        with pytest.raises(UserError, match=f"2 columns are called '{name}'"):
            list(inputs.read([], str(file), "title" if more else None, ("headline", "title"), more=more))
    assert [item.text for item in inputs.read([], str(file), "title", ("headline",))] == ["c"]
