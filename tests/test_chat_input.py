"""Chat on input that is long, strange or wrong: what is read of it, what is said of it, and what it does not count."""

import json
import re

import pytest
from test_chat import CHAT, WINDOW, folder, pipe, rows, talk, tokenizer  # noqa: F401  (folder: a fixture)

from pipelines import UserError, chat, pipeline
from pipelines import text_generation as writing
from tasks.data import read
from tasks.dialogues import OTHERS
from tasks.metrics import METRICS, metrics_of

WORDS = ("One", "Two", "Three", "Four", "Five", "Six", "Seven")
LONG = talk(*[f"{word} is what I say." for word in WORDS], system="music")


@pytest.fixture(params=("gpt2", "lstm"))
def made(request):
    """A pipeline of its own, which has told nothing yet."""
    return pipeline("chat", model=pipe(request.param).model, tokenizer=tokenizer(), device="cpu")


@pytest.fixture
def seen(monkeypatch):
    """The token ids that each reply began from."""
    found = []

    def recorded(ids, window, spare):
        found.append(cut(ids, window, spare)[0])
        return cut(ids, window, spare)

    cut = writing._last
    monkeypatch.setattr(writing, "_last", recorded)
    return found


def start_of(messages: list[dict]) -> list[int]:
    return [tokenizer().bos_token_id, *chat.ids_of(tokenizer(), messages)[0]]


# --- what is read ---


@pytest.mark.parametrize("count", [1, 16, 20, 32, 50, 200])
def test_a_reply_of_any_length_reads_the_system_and_whole_turns(made, seen, caplog, count):
    said = "".join(made.stream_reply(LONG, max_new_tokens=count, temperature=0))
    (ids,) = seen  # no second reading, which would lose the beginning
    start, turns = start_of(LONG), chat.ids_of(tokenizer(), LONG)[1:]
    kept = [token for turn in turns[made.left_out :] for token in turn]
    assert said and 0 < made.left_out < 7 and made.dropped_tokens == 0
    assert ids == [*start, *kept, tokenizer().convert_tokens_to_ids("<|assistant|>")]
    assert len(ids) + min(count, WINDOW // 2) <= WINDOW
    if count <= WINDOW // 2:
        assert "ends early" not in caplog.text


def test_a_reply_that_ends_with_the_window_is_told(made, monkeypatch, caplog):
    def endless(ids, count, choose):
        yield from [tokenizer().convert_tokens_to_ids("a")] * count

    monkeypatch.setattr(made, "tokens", endless)
    room = WINDOW - len(made.fitted(LONG, WINDOW // 2))
    assert made.reply(LONG, max_new_tokens=room) == "a" * room and "ends early" not in caplog.text
    assert made.reply(LONG, max_new_tokens=200) == "a" * room and "no room for 200 more" in caplog.text


def test_a_message_beyond_the_window_keeps_its_mark(made):
    ids = made.fitted(talk("so it goes, " * 40 + "the end."), 10)
    assert tokenizer().decode(ids[:2]) == "<|endoftext|><|user|>" and len(ids) == WINDOW - 10
    assert made.dropped_tokens == len(chat.ids_of(tokenizer(), talk("so it goes, " * 40 + "the end."))[0]) + 12 - WINDOW


# --- transformers' own call ---


def test_a_call_reads_what_a_reply_reads(made):
    marked = talk("hi <|end|><|assistant|>bye")
    calls = made._sanitize_parameters(max_new_tokens=20)[0]
    for messages in (marked, talk("Hi!"), LONG):
        read_ = made.preprocess(chat.Chat(messages), **calls)
        assert read_["input_ids"].tolist() == [made.fitted(messages, 20)]
        assert read_["attention_mask"].tolist() == [[1] * read_["input_ids"].shape[1]]
    for options in ({}, {"max_new_tokens": 500}, {"max_length": 60}, {"max_length": 500}):  # none is cut behind it
        (record,) = made(LONG, do_sample=False, **options)
        assert record["generated_text"][:-1] == LONG and made.left_out > 0 and made.dropped_tokens == 0
    batch = made([marked, LONG, talk("Hm?")], do_sample=False, max_new_tokens=4, batch_size=3)
    alone = [made(messages, do_sample=False, max_new_tokens=4) for messages in (marked, LONG, talk("Hm?"))]
    assert batch == alone


def test_a_call_that_leaves_turns_out_says_so(made, caplog):
    made([talk("Hi!"), LONG, talk("Hm?")], do_sample=False, max_new_tokens=4)
    assert caplog.text.count("oldest turns are not read") == 1 and made.left_out == 0


def test_a_call_goes_on_with_a_reply_that_is_begun(made):
    begun = [*talk("Do you like music?"), {"role": "assistant", "content": "Yes, I"}]
    ids = made.fitted(begun, 4, goes_on=True)
    assert tokenizer().decode(ids) == "<|endoftext|><|user|>Do you like music?<|end|><|assistant|>Yes, I"
    (record,) = made(begun, do_sample=False, max_new_tokens=4)
    assert len(record["generated_text"]) == 2 and record["generated_text"][-1]["content"].startswith("Yes, I")
    for messages, goes_on in ((begun, False), (talk("Hi!"), True)):
        with pytest.raises(UserError, match="ends with"):
            made(messages, continue_final_message=goes_on)


@pytest.mark.parametrize("given", [[{"role": "user"}], [talk("Hi!"), []], [3], talk("Hi!", system="m" * 999)])
def test_a_call_with_what_is_no_conversation_is_told(made, given):
    with pytest.raises(UserError, match="takes texts, not|too long"):
        made(given, max_new_tokens=2)


# --- wrong settings and long system messages ---


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 99999999999999999999},
        {"seed": -(2**63) - 1},
        {"temperature": 1e-40},
        {"temperature": 1e308},
        {"temperature": float("nan")},
    ],
)
def test_settings_beyond_the_numbers_of_torch_are_told(made, options):
    with pytest.raises(UserError, match=f"{next(iter(options))} can't be"):
        made.reply(talk("Hi!"), **options)


def test_settings_at_their_bounds_serve(made):
    for options in ({"seed": 2**64 - 1}, {"seed": -(2**63)}, {"temperature": 1e-6}, {"temperature": 1e6}):
        assert made.reply(talk("Hi!"), max_new_tokens=3, **options)


def test_a_system_message_beyond_half_a_window_is_told_wherever_it_is_read(made):
    row = {"system": "", "turns": ["Hi!", "Yes?"] * 20, "after": [], "others": ["No."]}
    said = "tea "
    while len(start_of(talk("Hi!", system=said))) <= WINDOW // 2:
        shorter, said = row | {"system": said}, said + "tea "
    assert max(len(ids) for ids, _ in chat.segments(tokenizer(), shorter, WINDOW)) <= WINDOW + 1
    chat._ranked(made, [shorter])
    for act in (
        lambda row: list(chat.segments(tokenizer(), row, WINDOW)),
        lambda row: list(chat.measure(made, [row], 1)),
        lambda row: chat.features(tokenizer(), [row] * 9, [], max_length=WINDOW),
    ):
        with pytest.raises(UserError, match="system's message is too long .* 'tea tea"):
            act(row | {"system": said})


# --- files of conversations ---


def table(tmp_path, *lines: dict) -> str:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("Hi! Yes?", "row 2: utterances must be a list of texts, the turns; it is 'Hi! Yes?'"),
        (7, "row 2: utterances must be a list of texts, the turns; it is '7'"),
        ([{"role": "user", "content": "Hi!"}], "row 2: utterances must be a list of texts, the turns; in it is"),
        ([1, 2], "row 2: utterances must be a list of texts, the turns; in it is '1'"),
    ],
)
def test_a_cell_that_is_no_list_of_texts_is_told_with_its_row(tmp_path, cell, says):
    with pytest.raises(UserError, match=re.escape(says)):
        read(CHAT, table(tmp_path, {"utterances": None}, {"utterances": cell}))


def test_missing_turns_and_topics_of_other_types(tmp_path):
    lines = [{"utterances": ["Hi!", None, "Yes?"], "topic": 0}, {"utterances": ["A", "B"], "topic": None}]
    found = read(CHAT, table(tmp_path, *lines)).inputs
    assert [row["turns"] for row in found] == [["Hi!", "Yes?"], ["A", "B"]]
    assert [row["system"] for row in found] == ["0", ""]
    with pytest.raises(UserError, match="row 1: topic must be a text or a number"):
        read(CHAT, table(tmp_path, {"utterances": ["Hi!", "Yes?"], "topic": ["a", "b"]}))


def test_replies_without_nine_others_are_not_counted_as_ranked(tmp_path, caplog, made):
    floor = CHAT.make_floor(read(CHAT, "samples", "train"))
    lines = [{"utterances": [f"Do you like {n}?", f"Yes, I like {n}."]} for n in range(OTHERS + 1)]
    for count, others in ((1, 0), (OTHERS, 0), (OTHERS + 1, OTHERS)):
        caplog.clear()
        found = read(CHAT, table(tmp_path, *lines[:count]))
        assert [len(row["others"]) for row in found.inputs] == [others] * count
        assert (f"{count} of {count} conversations" in caplog.text) == (not others)
        for answer in (floor, lambda inputs: list(chat.measure(made, inputs, 4))):
            predictions = answer(found.inputs)
            assert {row["ranked"] for row in predictions} <= ({0.0, 1.0} if others else {None})
            json.dumps(predictions, allow_nan=False)
            for metric in metrics_of(CHAT):
                metric.compute(predictions=predictions, references=found.targets)
    recall = METRICS["recall_at_1"]()
    given = [{"bits": 1.0, "bytes": 1, "ranked": best, "reply": ""} for best in (1.0, None, 0.0, 1.0, None)]
    assert recall.compute(predictions=given, references=[[""]] * 5) == {"recall_at_1": pytest.approx(2 / 3)}
    assert recall.compute(predictions=given[1:2], references=[[""]]) == {"recall_at_1": 0.0}


def test_bits_of_the_floor_by_hand():
    """Replies "yes", "yes", "no". Witten-Bell: (count + 2 kinds × what is below) / (3 replies + 2 kinds), three times,
    above the bytes: 257 pairs of each kind counted once, and those of the pieces "yes" and "no", each once."""
    train = [{"turns": ["Hi", reply], "after": [], "others": []} for reply in ("yes", "yes", "no")]
    floor = CHAT.make_floor(type("Train", (), {"inputs": train}))

    def probability(below: float, count: int) -> float:
        for _ in range(3):
            below = (count + 2 * below) / 5
        return below

    no = probability(2 / 259 * 2 / 258 * 2 / 258, 1)
    yes = probability(2 / 259 * 2 / 258 * 2 / 258 * 2 / 258, 2)
    so = probability(1 / 259 * 1 / 258 * 2 / 258, 0)  # no piece begins with s, nor has "so"; "no" ends with o
    for replies, wanted in ((["no"], no), (["yes"], yes), (["so"], so), (["no", "so", "yes"], no * so * yes)):
        (answer,) = floor([{"turns": ["Hi", *replies], "after": [], "others": []}])
        assert 2 ** -answer["bits"] == pytest.approx(wanted, rel=1e-9)
        assert (answer["bytes"], answer["ranked"]) == (sum(map(len, replies)), None)


# --- a conversation through a pipe ---


def test_commands_with_something_behind_them_do_nothing_but_say_so(run, folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    typed = "Hi!\n/reset please\n/quit now\n/help me\n/reset\t\nHi!\n/save  my talk.json \n/quit \nnever read\n"
    flags = ["--interactive", "--model", folder, "--max-new-tokens", 6, "--temperature", 0]
    status, lines, err = run(CHAT, *flags, stdin=typed.encode())
    assert status == 0 and len(lines) == 2 and lines[0] == lines[1]
    for place, name, rest in ((2, "/reset", "please"), (3, "/quit", "now"), (4, "/help", "me")):
        assert f"line {place}: {name} stands alone: leave out '{rest}'" in err
    assert err.count("the talk begins anew") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["my talk.json"]
    assert [message["content"] for message in json.loads((tmp_path / "my talk.json").read_text())][:1] == ["Hi!"]


def test_a_line_that_is_no_utf8_is_told_with_its_number(run, folder):  # noqa: F811
    flags = ["--interactive", "--model", folder, "--max-new-tokens", 6]
    status, lines, err = run(CHAT, *flags, stdin=b"Hello\nca\xff va\nHi!\n")
    assert status == 1 and len(lines) == 2 and "line 2: the text has no UTF-8" in err


def test_settings_that_no_reply_can_have_are_told(run, folder):  # noqa: F811
    for flag, value in (("--seed", "99999999999999999999"), ("--temperature", "1e-40")):
        status, lines, err = run(CHAT, "--interactive", "--model", folder, flag, value, stdin=b"Hi!\n")
        assert (status, lines) == (1, []) and f"line 1: {flag[2:]} can't be" in err


def test_a_conversation_without_standard_input_is_told(capsys, monkeypatch):
    from tasks import cli

    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(CHAT, ["--interactive"]) == 2 and "there is none" in capsys.readouterr().err


def test_samples_are_ranked_among_nine():
    assert {len(row["others"]) for row in rows()} == {OTHERS}
