"""Models side by side: `--compare`."""

import json
from pathlib import Path

from tasks import cli, compare, load

ROOT = Path(__file__).parent.parent
TRANSLATE, SENTIMENT = load("translate"), load("sentiment")
TEXTS = ["A dog.", "Two small dogs are running along the beach, and a child is laughing.", "Hi", "I am happy, too."]
SHORT = ["--max-new-tokens", "5"]  # tiny models know no end
BINARY = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0" * 9


# --- side by side ---


def test_compare_as_json(run, tiny_t5, tiny_lstm_seq2seq):
    models = ["--model", tiny_t5, "--model", tiny_lstm_seq2seq]
    status, lines, err = run(TRANSLATE, *TEXTS, "--compare", "--json", *models, *SHORT)
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in lines]
    assert [row["input"] for row in rows] == TEXTS
    for number, folder in enumerate((tiny_t5, tiny_lstm_seq2seq)):
        answers = [row["answers"][number] for row in rows]
        _, alone, _ = run(TRANSLATE, *TEXTS, "--json", "--model", folder, *SHORT)
        assert [answer["output"] for answer in answers] == [json.loads(line)["output"] for line in alone]
        assert all(answer["latency_ms"] > 0 and answer["model"] == str(folder) for answer in answers)


def test_compare_as_a_table(run, tiny_bert, tiny_lstm_classifier, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    models = ["--model", tiny_bert, "--model", tiny_lstm_classifier]
    status, lines, err = run(SENTIMENT, "[bold]A dog.[/bold]", "", "Hi", "--compare", *models)
    table = "\n".join(lines)
    assert status == 1 and "text 2: empty text" in err and "harness" in err
    for words in ("[bold]A dog.[/bold]", "Hi", "total of 2", tiny_bert.name[-9:], "tive  0."):
        assert words in table
    assert table.count(" ms ") == 2


def test_compare_takes_both_bundled_arms(run, bundled):
    _, lines, _ = run(SENTIMENT, "Hi", "--compare", "--json")
    assert [answer["model"] for answer in json.loads(lines[0])["answers"]] == ["sentiment-bert", "sentiment-lstm"]


def test_which_models_are_compared():
    assert compare.models([]) == compare.models(["lstm"]) == compare.models(["transformer"]) == ["transformer", "lstm"]
    assert compare.models(["org/name"]) == ["org/name", "lstm"]
    assert compare.models(["a", "b", "c"]) == ["a", "b", "c"]


def test_both_arms_are_warm_and_take_turns(run, tiny_bert, tiny_lstm_classifier, monkeypatch):
    calls, alone = [], cli.alone

    def watched(pipe, text, options):
        calls.append((pipe.model.config.model_type, text))
        return alone(pipe, text, options)

    monkeypatch.setattr(cli, "alone", watched)
    run(SENTIMENT, "a", "b", "c", "--compare", "--json", "--model", tiny_bert, "--model", tiny_lstm_classifier)
    warm, measured = calls[:2], calls[2:]
    assert warm == [("bert", "a"), ("lstm", "a")]
    assert measured == [(m, t) for t, order in zip("abc", (1, -1, 1), strict=True) for m in ("bert", "lstm")[::order]]
