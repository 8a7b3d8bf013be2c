"""The question-answering pipeline: its calls, transformers 4's answers, and spans against every span there is."""

import math
from collections import defaultdict

import pytest
import qa_models
import torch
from pipe_tools import near

from pipelines import UserError, pipeline

QUESTION = "Who is playing?"
PARK = "Two young men are playing football in the old park, while I am happy."
CONTEXTS = [
    "No.",
    PARK,
    "«Zoë’s café»\n costs\t12.50 euro—old  PARK;the happy young men didn't play.",
    f"{PARK} I. " * 9,
]
# What transformers 4.57.6 answers with the scores of `qa_models.Formula`.
BEFORE = [
    (QUESTION, PARK, {}, {"score": 0.039203435, "start": 52, "end": 59, "answer": "while I"}),
    (
        QUESTION,
        PARK,
        {"top_k": 4, "align_to_words": False},
        [
            {"score": 0.039203435, "start": 52, "end": 59, "answer": "while I"},
            {"score": 0.036373839, "start": 42, "end": 50, "answer": "old park"},
            {"score": 0.035871681, "start": 42, "end": 59, "answer": "old park, while I"},
            {"score": 0.034946669, "start": 52, "end": 69, "answer": "while I am happy."},
        ],
    ),
    (
        "Who didn't answer?",
        "I didn't answer; the football costs 12.50 euros.",
        {"top_k": 3, "max_answer_len": 3},
        [
            {"score": 0.038115848, "start": 36, "end": 41, "answer": "12.50"},
            {"score": 0.031240854, "start": 21, "end": 29, "answer": "football"},
            {"score": 0.025235955, "start": 47, "end": 48, "answer": "."},
        ],
    ),
    (
        "Who didn't answer?",
        "I DIDN'T  answer;\n the Football costs 12.50 euros.",
        {"top_k": 2, "max_answer_len": 40},
        [
            {"score": 0.047229536, "start": 2, "end": 22, "answer": "DIDN'T  answer;\n the"},
            {"score": 0.045174584, "start": 2, "end": 43, "answer": "DIDN'T  answer;\n the Football costs 12.50"},
        ],
    ),
    (  # equal answers are one
        "old old?",
        "The old, the OLD the oLd.",
        {"top_k": 3},
        [
            {"score": 0.228373125, "start": 7, "end": 16, "answer": ", the OLD"},
            {"score": 0.113096453, "start": 0, "end": 16, "answer": "The old, the OLD"},
            {"score": 0.092637984, "start": 21, "end": 24, "answer": "oLd"},
        ],
    ),
    (
        "Who?",
        "Happy",
        {"handle_impossible_answer": True},
        {"score": 0.501409531, "start": 0, "end": 5, "answer": "Happy"},
    ),
]


@pytest.fixture(scope="module", params=["bert", "lstm"])
def asker(request, word_tokenizer):
    """A pipeline of each family with random weights, on windows of 64 tokens."""
    return pipeline("question-answering", qa_models.reader(request.param, word_tokenizer), tokenizer=word_tokenizer)


def formula(lift=None, **options):
    """A pipeline whose scores are a formula, those of single words lifted."""
    model = qa_models.formula(lift)
    return pipeline("question-answering", model, tokenizer=qa_models.words_tokenizer(), device="cpu", **options)


def every_answer(pipe, question: str, context: str, longest: int, **sizes) -> dict[str, float]:
    """Score of each text that a span of the context has, by looking at every pair of tokens of every window."""
    windows = pipe.tokenizer(
        question,
        context,
        truncation="only_second",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **sizes,
    )
    weights, total = defaultdict(float), 0.0
    for i, offsets in enumerate(windows["offset_mapping"]):
        row = {name: torch.tensor([windows[name][i]]) for name in pipe.tokenizer.model_input_names}
        output = pipe.model(**row)
        start, end = (logits[0].double().exp().tolist() for logits in output[:2])
        mine = [place for place, side in enumerate(windows.sequence_ids(i)) if side == 1]
        total += math.prod(sum(scores[place] for place in [0, *mine]) for scores in (start, end))
        for first in mine:
            for last in (place for place in mine if first <= place < first + longest):
                weights[context[offsets[first][0] : offsets[last][1]].lower()] += start[first] * end[last]
    return {text: weight / total for text, weight in weights.items()}


# --- the answers ---


@pytest.mark.parametrize("question, context, options, expected", BEFORE)
def test_answers_are_those_of_transformers_4(question, context, options, expected):
    assert near(formula()(question=question, context=context, **options), expected)


@pytest.mark.parametrize("size, stride, longest", ((64, 32, 15), (24, 5, 4)))
@pytest.mark.parametrize("context", CONTEXTS)
def test_scores_are_those_of_every_span_in_all_windows(asker, context, size, stride, longest):
    expected = every_answer(asker, QUESTION, context, longest, max_length=size, stride=stride)
    settings = {"max_seq_len": size, "doc_stride": stride, "max_answer_len": longest, "align_to_words": False}
    found = asker(question=QUESTION, context=context, top_k=1000, joint=True, **settings)  # more than a window has
    found = found if isinstance(found, list) else [found]
    assert {answer["answer"].lower(): answer["score"] for answer in found} == pytest.approx(expected, rel=1e-3)
    assert found[0]["score"] == max(answer["score"] for answer in found)
    assert sum(answer["score"] for answer in found) < 1


def test_windows_compete_with_each_other():
    """A word that is likelier than all others wins from any window, and has nearly all of the probability."""
    for place in (0, 25, 55):
        words = ["the old park"] * 56
        words[place] = "Foot"
        pipe = formula({"foot": (30.0, 30.0)}, joint=True)
        found = pipe(question="Who?", context=". ".join(words), max_seq_len=32, doc_stride=8)
        assert found["answer"] == "Foot" and found["score"] == pytest.approx(1.0, abs=1e-3)
        assert found["start"] == len("the old park. ") * place


def test_windows_are_alone_unless_the_checkpoint_says_otherwise():
    """By default as transformers 4: each window's probabilities add up to 1, and equal answers of several are one."""
    context = ". ".join(["The happy park", *["the old park", "two Men"] * 50])
    pipe, sizes = formula({"happy": (40.0, 40.0), "men": (25.0, 25.0)}), {"max_seq_len": 32, "doc_stride": 4}
    alone, together = (pipe(question="Who?", context=context, joint=joint, **sizes) for joint in (None, True))
    # each of many windows is sure of it; the place is the first's that has it among its best
    assert (alone["answer"], alone["score"]) == ("Men", 1.0) and alone["start"] < 120
    assert together == {"score": pytest.approx(1.0, abs=0.01), "start": 4, "end": 9, "answer": "happy"}
    pipe.model.config.task_specific_params = {"question-answering": {"joint": True}}
    said = pipeline("question-answering", pipe.model, tokenizer=pipe.tokenizer, device="cpu")
    assert near(said(question="Who?", context=context, **sizes), together)


def test_start_comes_before_end():
    """The likeliest start stands after the likeliest end: one of the two must yield."""
    found = formula({"happy": (30.0, 0.0), "two": (0.0, 20.0)})(question="Who?", context="Two men, happy men.")
    assert found["start"] == len("Two men, ") and found["end"] >= len("Two men, happy")


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("options", ({}, {"max_seq_len": 20, "doc_stride": 4}, {"padding": "max_length"}))
def test_an_answer_is_whole_words_of_its_context(asker, context, options):
    answers = asker(question="Old; who?", context=context, top_k=5, **options)
    assert answers == sorted(answers, key=lambda answer: -answer["score"])
    assert len({answer["answer"].lower() for answer in answers}) == len(answers) > 0
    for answer in answers:
        assert list(answer) == ["score", "start", "end", "answer"]
        assert answer["answer"] == context[answer["start"] : answer["end"]] != ""
        assert 0 < answer["score"] <= 1
        before, after = context[: answer["start"]][-1:], context[answer["end"] :][:1]
        assert not (before.isalnum() and answer["answer"][0].isalnum())
        assert not (after.isalnum() and answer["answer"][-1].isalnum())


def test_pieces_of_words_are_answers_only_where_asked_for():
    pipe = formula({"##ball": (30.0, 30.0)})
    assert pipe(question="Who?", context=PARK)["answer"] == "football"
    assert pipe(question="Who?", context=PARK, align_to_words=False)["answer"] == "ball"


def test_max_answer_len_counts_tokens():
    pipe = formula({"two": (30.0, 0.0), ".": (0.0, 30.0)}, align_to_words=False)
    for longest in (1, 2, 5, 40):
        answer = pipe(question="Who?", context=PARK, max_answer_len=longest)["answer"]
        assert len(pipe.tokenizer(answer, add_special_tokens=False)["input_ids"]) <= longest
    assert answer == PARK


def test_no_answer_is_one_where_it_may_be():
    sure, doubt = formula({"happy": (30.0, 30.0)}), formula({"[CLS]": (30.0, 30.0)})
    nothing = {"score": pytest.approx(1.0, abs=1e-3), "start": 0, "end": 0, "answer": ""}
    assert doubt(question="Who?", context=PARK, handle_impossible_answer=True) == nothing
    assert doubt(question="Who?", context=PARK)["answer"] in PARK
    assert doubt(question="Who?", context=PARK)["score"] < 1e-6
    for context in (PARK, PARK * 9):  # one window that sees an answer is enough
        found = sure(question="Who?", context=f"{'The park. ' * 40}{context}", handle_impossible_answer=True)
        assert found["answer"] == "happy"


# --- the calls ---


def test_every_form_of_a_call_gives_the_same_answers(asker):
    one, two = ({"question": QUESTION, "context": context} for context in (PARK, CONTEXTS[3]))
    first, second = asker(one), asker(two)
    both = [first, second]
    assert first != second and asker(**one) == first == asker([one]) == asker(data=one) == asker(*one.values())
    assert asker(question=[QUESTION], context=[PARK]) == first  # a list of one is one, as it was
    assert near(asker([one, two]), both) and near(asker(one, two), both) and near(asker((one, two)), both)
    assert near(asker(question=[QUESTION] * 2, context=[PARK, CONTEXTS[3]]), both)
    assert near(asker(question=[QUESTION] * 2, context=PARK), [first, first])
    assert near(list(asker(row for row in (one, two))), both)
    assert near(list(asker(iter([one]))), [first])
    assert asker([]) == []
    several = asker(one, top_k=2)
    assert len(several) == 2 and near(several[0], first) and near(asker([one, two], top_k=2)[0], several)
    assert asker(one | {"id": "7", "answers": {"text": ["x"]}}) == first  # a row of SQuAD as it stands


@pytest.mark.parametrize("size", (1, 2, 3, 8))
def test_batches_of_ragged_contexts_are_each_alone(asker, size):
    rows = [{"question": q, "context": c} for c in CONTEXTS for q in ("Who?", "Where is the old park, please?")]
    alone = [asker(row, top_k=2, batch_size=1) for row in rows]
    together = asker(rows, top_k=2, batch_size=size)
    assert [[answer["answer"] for answer in answers] for answers in together] == [
        [answer["answer"] for answer in answers] for answers in alone
    ]
    for ours, theirs in zip(together, alone, strict=True):
        assert [a["score"] for a in ours] == pytest.approx([a["score"] for a in theirs], rel=1e-3)


WRONG = [
    ({}, "nothing is asked"),
    ({"question": "Who?"}, "context is missing"),
    ({"context": PARK}, "question is missing"),
    ({"question": " ", "context": PARK}, "question is empty"),
    ({"question": "Who?", "context": "\n"}, "context is empty"),
    ({"question": "Who?", "context": "\u200d\u200b"}, "nothing that the model's tokenizer can read"),
    ({"question": "Who?", "context": 7}, "context must be a text"),
    ({"question": ["Who?"], "context": [PARK, PARK]}, "1 questions, but 2 contexts"),
    ({"data": ["Who?"]}, "takes a dict"),
    ({"data": {"question": "Who?"}}, "context is missing"),
    ({"question": "Who?", "context": PARK, "top_k": 0}, "top_k must be"),
    ({"question": "Who?", "context": PARK, "max_answer_len": 0}, "max_answer_len must be"),
    ({"question": "Who?", "context": PARK, "doc_stride": 62}, "doc_stride 62 must be less than"),
    ({"question": "Who?", "context": PARK, "max_seq_length": 9}, "Did you mean 'max_seq_len'"),
    ({"question": "Who? " * 40, "context": PARK}, "leaves no room"),
]


@pytest.mark.parametrize("call, said", WRONG)
def test_wrong_calls_say_what_is_wrong(call, said):
    with pytest.raises(UserError, match=said.replace("?", r"\?")) as error:
        formula()(**call)
    assert "\n" not in str(error.value)
