"""The pipeline for labelled words: parity with transformers' own, exact offsets, valid tags, windows, batches."""

import numpy as np
import pytest
import torch
from ner_models import LABELS, TEXTS, is_iob2, tagger
from pipe_tools import near
from transformers import TokenClassificationPipeline
from transformers.modeling_outputs import TokenClassifierOutput

from pipelines import UserError, pipeline
from pipelines.token_classification import STRATEGIES, answer

KINDS = ("lstm", "bert", "hub")
LONG = " ".join(TEXTS * 4)


@pytest.fixture(scope="module")
def made(word_tokenizer):
    pipes = {
        kind: pipeline("ner", model=tagger(kind, word_tokenizer), tokenizer=word_tokenizer, device="cpu")
        for kind in KINDS
    }
    return pipes


@pytest.fixture(params=KINDS)
def pipe(request, made):
    return made[request.param]


def every_word(pipe, text, **options) -> list[dict]:
    return pipe(text, aggregation_strategy="none", ignore_labels=[], **options)


# --- against transformers ---


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ignored", [None, [], ["O", "LOC", "B-LOC"]])
def test_a_hub_checkpoint_is_answered_as_transformers_answers_it(made, strategy, ignored):
    ours = made["hub"]
    theirs = TokenClassificationPipeline(model=ours.model, tokenizer=ours.tokenizer, task="ner", device="cpu")
    options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    answers, expected = ours(TEXTS, **options, batch_size=4), theirs(TEXTS, **options)
    assert sum(map(len, expected)) > 20
    for text, mine, other in zip(TEXTS, answers, expected, strict=True):
        assert len(mine) == len(other)
        for a, b in zip(mine, other, strict=True):
            assert (
                a.keys() == b.keys() and a["start"] == b["start"] and a["score"] == pytest.approx(b["score"], abs=1e-5)
            )
            # a letter's accent, where it is a character of its own, belongs to it
            assert text[b["end"] : a["end"]] in ("", "\u0301", "\u0308") and a["word"] == text[a["start"] : a["end"]]
            assert a.get("entity_group") == b.get("entity_group") and a.get("index") == b.get("index")
            if "entity" in b:  # an I-X that continues nothing is opened
                assert a["entity"] in (b["entity"], "B" + b["entity"][1:])


def test_words_that_come_split_are_answered_as_transformers_answers_them(made):
    ours = made["hub"]
    theirs = TokenClassificationPipeline(model=ours.model, tokenizer=ours.tokenizer, task="ner", device="cpu")
    words = [text.split() for text in TEXTS]
    options = {"is_split_into_words": True, "aggregation_strategy": "first"}
    places = [[(e["entity_group"], e["start"]) for e in found] for found in theirs(words, **options)]
    assert [[(e["entity_group"], e["start"]) for e in found] for found in ours(words, **options)] == places
    assert near(ours(words[0], **options), [ours(words[0:1], **options)[0]])  # a list of one, as there
    joined = ours(words[0], **options, delimiter="")[0]
    assert [e["word"] for e in joined] == ["".join(words[0])[e["start"] : e["end"]] for e in joined]


# --- offsets, tags, scores ---


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_are_the_text_at_their_offsets_and_tags_are_valid(pipe, strategy):
    found = 0
    for text in [*TEXTS, LONG]:
        output = pipe(text, aggregation_strategy=strategy)
        assert all(e["word"] == text[e["start"] : e["end"]] and e["word"].strip() == e["word"] != "" for e in output)
        assert all(a["end"] <= b["start"] for a, b in zip(output, output[1:], strict=False))
        assert all(isinstance(e["score"], float) and 0 <= e["score"] <= 1.0001 for e in output)
        found += len(output)
    assert found > 20
    assert is_iob2([word["entity"] for word in every_word(pipe, LONG)])


@pytest.mark.parametrize("kind", ["lstm", "bert"])
def test_the_unit_is_the_word_and_no_word_is_lost(made, kind):
    from pipelines import words

    for text in [*TEXTS, LONG]:
        expected = [text[a:b] for a, b in words.split(text)]
        assert [word["word"] for word in every_word(made[kind], text)] == expected
    tokens = ["EU", "rejects", "O'Neill's", "call", "…"]
    assert [word["word"] for word in every_word(made[kind], {"tokens": tokens})] == tokens


def test_words_without_a_piece_or_a_known_letter_do_no_harm(made):
    odd = {"tokens": ["Ann", "", "\u200b", "\u0301", "ひ", "x" * 3000, "\u00ad", "Lee"]}
    for kind in ("lstm", "bert"):
        words = every_word(made[kind], odd)
        assert is_iob2([word["entity"] for word in words]) and words[-1]["word"] == "Lee"
        assert [word["index"] for word in words] == list(range(1, len(words) + 1))
        assert made[kind]({"tokens": ["\u200b"]}) is not None
    assert len(every_word(made["lstm"], odd)) == len(odd["tokens"])


def test_bert_decides_by_word_as_each_strategy_says(made):
    pipe, tokens = made["bert"], ["Well", "stationed", "STATIONED", "Fishermanly", "no"]
    encoded = pipe.tokenizer(tokens, is_split_into_words=True, return_tensors="pt")
    units = encoded.word_ids()
    assert max(map(units.count, range(len(tokens)))) > 1
    pieces = [tokens[u][a:b] if u is not None else "" for u, (a, b) in zip(units, pipe.tokenizer(
        tokens, is_split_into_words=True, return_offsets_mapping=True)["offset_mapping"], strict=True)]  # fmt: skip
    encoded["token_type_ids"] = torch.tensor([[int(piece != piece.lower()) for piece in pieces]])
    assert 0 < encoded["token_type_ids"].sum() < len(units)
    with torch.no_grad():
        scores = pipe.model(**encoded).logits[0].softmax(-1).numpy()  # (S, K)
    by_word = [scores[[i for i, u in enumerate(units) if u == word]] for word in range(len(tokens))]
    wanted = {
        "first": [rows[0] for rows in by_word],
        "average": [rows.mean(0) for rows in by_word],
        "max": [rows[rows.max(1).argmax()] for rows in by_word],
    }
    wanted["simple"] = wanted["first"]
    for strategy, rows in wanted.items():
        got = pipe({"tokens": tokens}, aggregation_strategy=strategy, ignore_labels=[])
        path = _best(np.stack(rows))
        assert answer(got) == _entities(path, tokens), strategy
        assert got[0]["score"] == pytest.approx(float(np.mean(_scores_of_first(rows, path))), abs=1e-5)


def _best(scores) -> list[str]:
    """The best valid path, found by looking at all of them that start from each word's likely tags."""
    import itertools

    paths = [
        path for path in itertools.product(range(len(LABELS)), repeat=len(scores)) if is_iob2([LABELS[k] for k in path])
    ]
    table = np.log(scores)[np.arange(len(scores)), np.array(paths)].sum(1)
    return [LABELS[k] for k in paths[table.argmax()]]


def _entities(tags, tokens) -> list[list]:
    """All groups, those of O too, as the pipeline gives them with nothing ignored."""
    groups, start = [], 0
    for tag, token in zip(tags, tokens, strict=True):
        kind = tag.split("-")[-1]
        if groups and not tag.startswith("B-") and groups[-1][0] == kind:
            groups[-1][2] = start + len(token)
        else:
            groups.append([kind, start, start + len(token)])
        start += len(token) + 1
    return groups


def _scores_of_first(rows, tags) -> list[float]:
    """The probabilities of the first group's words."""
    kind, scores = tags[0].split("-")[-1], []
    for row, tag in zip(rows, tags, strict=True):
        if scores and (tag.startswith("B-") or tag.split("-")[-1] != kind):
            break
        scores.append(row[LABELS.index(tag)])
    return scores


def test_an_lstms_score_is_the_mean_posterior_of_its_words(made):
    pipe, text = made["lstm"], TEXTS[0]
    words = every_word(pipe, text)
    grouped = pipe(text, ignore_labels=[])
    inside = [[w["score"] for w in words if g["start"] <= w["start"] < g["end"]] for g in grouped]
    assert [g["score"] for g in grouped] == pytest.approx([sum(scores) / len(scores) for scores in inside])
    assert all(near(pipe(text, aggregation_strategy=s), pipe(text)) for s in STRATEGIES[1:])


# --- long texts ---


@pytest.mark.parametrize("settings", [{"window": 12}, {"window": 9, "stride": 4}, {"window": 30, "stride": 0}, {}])
def test_windows_answer_a_long_text_as_one_would(pipe, settings, monkeypatch):
    """With a model that looks at one piece or word only, windows must not show at all."""
    table = torch.randn(len(pipe.tokenizer), len(LABELS), generator=torch.Generator().manual_seed(2)) * 3

    def local(input_ids, char_ids=None, **_):
        ids = input_ids if char_ids is None else char_ids[:, :, 0]
        return TokenClassifierOutput(logits=table[ids % len(table)])

    monkeypatch.setattr(pipe.model, "forward", local)
    monkeypatch.setattr(pipe, "_window", None)
    for strategy in STRATEGIES:
        whole = pipe(LONG, aggregation_strategy=strategy)
        assert len(whole) > 20
        assert near(pipe(LONG, aggregation_strategy=strategy, **settings), whole)
        assert near(pipe([LONG, "No"], aggregation_strategy=strategy, **settings, batch_size=3)[0], whole)


def test_a_long_text_is_read_in_windows_of_its_checkpoint(pipe):
    sizes = []
    handle = pipe.model.register_forward_pre_hook(lambda m, a, options: sizes.append(options), with_kwargs=True)
    try:
        pipe("Ann " * 700)
    finally:
        handle.remove()
    key = "char_ids" if "char_ids" in sizes[0] else "input_ids"
    assert max(options[key].shape[1] for options in sizes) <= 64
    assert sum(len(options[key]) for options in sizes) > 10


# --- calls ---


def test_batches_streams_and_single_texts_agree(pipe):
    alone = [pipe(text) for text in TEXTS]
    assert near(pipe(TEXTS, batch_size=4), alone)
    assert near(list(pipe((text for text in TEXTS), batch_size=3)), alone)
    assert near(pipe(tuple(TEXTS)), alone)
    inputs = [{"tokens": text.split()} for text in TEXTS]
    assert near(list(pipe(iter(inputs), batch_size=4)), [pipe(given) for given in inputs])
    assert pipe([]) == [] and pipe("") == [] and pipe(["", " \n"]) == [[], []] and pipe({"tokens": []}) == []


def test_a_saved_pipeline_is_the_same(made, tmp_path):
    for kind, pipe in made.items():
        pipe.save_pretrained(tmp_path / kind)
        again = pipeline("token-classification", model=tmp_path / kind, device="cpu")
        assert near(again(TEXTS[0], ignore_labels=[]), pipe(TEXTS[0], ignore_labels=[]))


def test_answers_are_entities_whatever_the_strategy(made):
    for kind in ("lstm", "bert"):
        output = made[kind](LONG)
        assert answer(output) == [[e["entity_group"], e["start"], e["end"]] for e in output]
        assert answer(made[kind](LONG, aggregation_strategy="none")) == answer(output)
    pieces, groups = (made["hub"](LONG, aggregation_strategy=s) for s in ("none", "simple"))
    assert answer(pieces) == answer(groups)


@pytest.mark.parametrize(
    "given, options, said",
    [
        (7, {}, "not int"),
        ({"text": "x"}, {}, "tokens"),
        ({"tokens": "Ann"}, {}, "list of texts"),
        ({"tokens": ["a", None]}, {}, "list of texts"),
        ("Ann", {"aggregation_strategy": "frist"}, "Did you mean 'first'"),
        ("Ann", {"window": 2}, "no room"),
        ("Ann", {"window": 20, "stride": 18}, "no room"),
        ("Ann", {"stride": -1}, "stride must be"),
    ],
)
def test_wrong_use_is_one_line(pipe, given, options, said):
    with pytest.raises(UserError, match=said) as caught:
        pipe([given], **options)
    assert "\n" not in str(caught.value)
