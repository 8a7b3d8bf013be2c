"""What people do with pipelines: data sets, processes, threads, saving, sharing, an app. Each family, no network."""

import contextlib
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import datasets
import huggingface_hub
import pytest
import qa_models
import transformers
from huggingface_hub import errors
from ner_models import TEXTS, tagger
from pipe_tools import made, near
from transformers.pipelines.pt_utils import KeyDataset, KeyPairDataset

import pipelines
from pipelines import chunks, pipeline

QUESTIONS = ("Who is happy?", "What does it cost?", "Where do they play football?")


@pytest.fixture(params=["transformer", "lstm"])
def family(request):
    return request.param


@pytest.fixture
def translator(request, family):
    return made(request, "tiny_t5" if family == "transformer" else "tiny_lstm_seq2seq")


@pytest.fixture
def classifier(request, family):
    return made(request, "tiny_bert" if family == "transformer" else "tiny_lstm_classifier")


@pytest.fixture
def asker(family, word_tokenizer):
    model = qa_models.reader("bert" if family == "transformer" else "lstm", word_tokenizer)
    return pipeline("question-answering", model, tokenizer=word_tokenizer, device="cpu")


@pytest.fixture
def finder(family, word_tokenizer):
    model = tagger("bert" if family == "transformer" else "lstm", word_tokenizer)
    return pipeline("ner", model, tokenizer=word_tokenizer, device="cpu", aggregation_strategy="none")


# --- data sets ---


def test_questions_from_data_sets_and_generators(asker, english):
    rows = [{"question": question, "context": " ".join(english[i:])} for i, question in enumerate(QUESTIONS)]
    table = datasets.Dataset.from_list([{"id": i, "asked": row, **row} for i, row in enumerate(rows)])
    one_by_one = [asker(row) for row in rows]
    assert len({answer["answer"] for answer in one_by_one}) > 1
    assert near(asker(rows), one_by_one)
    assert near(asker(question=table["question"], context=table["context"]), one_by_one)
    for stream in (KeyDataset(table, "asked"), (row for row in rows), iter(rows)):
        answers = asker(stream, batch_size=2)
        assert not isinstance(answers, list) and near(list(answers), one_by_one)


def test_pairs_from_a_data_set(classifier, english):
    table = datasets.Dataset.from_dict({"premise": english[:4], "guess": english[4:8]})
    pairs = KeyPairDataset(table, "premise", "guess")
    expected = [classifier({"text": a, "text_pair": b}) for a, b in zip(english[:4], english[4:8], strict=True)]
    assert near(list(classifier(pairs, batch_size=3)), expected)


def test_entities_from_a_data_set(finder):
    table = datasets.Dataset.from_dict({"text": TEXTS})
    assert near(list(finder(KeyDataset(table, "text"), batch_size=3)), [finder(text) for text in TEXTS])


# --- processes ---


def test_a_pickled_pipeline_answers_alike(translator, classifier, asker, finder, english):
    for pipe, given in ((translator, english[:3]), (classifier, english[:3]), (finder, TEXTS[:3])):
        assert near(pickle.loads(pickle.dumps(pipe))(given), pipe(given))
    row = {"question": QUESTIONS[0], "context": english[0]}
    with pipelines.restore():
        assert near(pickle.loads(pickle.dumps(asker))(row), asker(row))


def test_map_of_datasets_in_two_processes(tiny_t5, tiny_lstm_seq2seq, tiny_bert, tiny_adapters, english):
    """Adapters, too: what is merged into a model must travel with it."""
    translators = [pipeline("translation", m, device="cpu", max_new_tokens=4) for m in (tiny_t5, tiny_lstm_seq2seq)]
    classify = pipeline("sentiment-analysis", model=tiny_adapters, device="cpu")

    def answers(rows):
        columns = {f"fr{i}": [o["translation_text"] for o in t(rows["en"])] for i, t in enumerate(translators)}
        return columns | {"feeling": [o["label"] for o in classify(rows["en"])]}

    table = datasets.Dataset.from_dict({"en": english})
    mapped = table.map(answers, batched=True, batch_size=4, num_proc=2)
    assert mapped[:] == {"en": english, **answers({"en": english})}
    plain = pipeline("sentiment-analysis", model=tiny_bert, device="cpu")(english)
    assert mapped["feeling"] != [output["label"] for output in plain]


# --- threads ---


@contextlib.contextmanager
def slow_tokenizers(monkeypatch):
    """Time for other threads between what a call asks of a tokenizer and its use of it."""
    original = transformers.PreTrainedTokenizerFast.set_truncation_and_padding

    def slow(*args, **kwargs):
        original(*args, **kwargs)
        time.sleep(0.001)

    with monkeypatch.context() as patch:
        patch.setattr(transformers.PreTrainedTokenizerFast, "set_truncation_and_padding", slow)
        yield


def work(translator, classifier, asker, finder, english) -> list:
    """Calls, one pipeline and text each, that ask different things of the tokenizers."""
    long = " ".join(english)
    calls = []
    for i, text in enumerate([*english[:4], long]):
        calls += [
            lambda text=text, cut=i % 2 == 0: translator(text, truncation=cut, num_beams=1, max_new_tokens=2),
            lambda text=text, cut=i % 2 == 1: classifier(text, truncation=cut),
            lambda text=text: asker(question=QUESTIONS[0], context=f"{text} {long}", doc_stride=8),
            lambda text=text: finder(f"{text} {long}"),
        ]
    return calls


def test_threads_get_the_answers_of_one(translator, classifier, asker, finder, english, monkeypatch):
    calls = work(translator, classifier, asker, finder, english)
    expected = [call() for call in calls]
    with slow_tokenizers(monkeypatch), ThreadPoolExecutor(6) as pool:
        assert near(list(pool.map(lambda call: call(), calls * 2)), expected * 2)


def test_the_test_of_threads_can_fail(asker, finder, english, monkeypatch):
    monkeypatch.setattr(chunks, "READING", contextlib.nullcontext())
    asker.tokenizer = finder.tokenizer
    long = " ".join(english)
    calls = [lambda: asker(question=QUESTIONS[0], context=long, doc_stride=8), lambda: finder(long)] * 6
    expected = [call() for call in calls]

    def answer(call):
        try:
            return call()
        except Exception as error:
            return repr(error)

    with slow_tokenizers(monkeypatch), ThreadPoolExecutor(6) as pool:
        assert not near(list(pool.map(answer, calls)), expected)


def test_two_streams_at_once(translator, english):
    """Iterators of one pipeline, read in turns and by threads of their own."""
    expected = [translator(text) for text in english[:4]]
    first, second = translator(iter(english[:4])), translator(iter(english[:4]), batch_size=3)
    taken = [(next(first), next(second)) for _ in range(4)]
    assert [a for a, _ in taken] == expected and [b for _, b in taken] == expected
    found: list = [None, None]

    def read(i):
        found[i] = list(translator(iter(english[:4]), batch_size=1 + i))

    threads = [threading.Thread(target=read, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected, expected]


# --- saving and sharing ---


@pytest.mark.parametrize("task", ["intents", "ner"])
def test_adapters_are_saved_whole(task, tmp_path):
    text = "wake me at seven in London tomorrow"
    pipe = pipeline(task, device="cpu")
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file() and not (tmp_path / "adapter_config.json").exists()
    assert near(pipeline(task, model=tmp_path, device="cpu")(text), pipe(text))


def test_push_to_hub_dry_run(pipe, english, tmp_path, monkeypatch):
    """What would be pushed, up to the call that would do it; and that it reads again as the same model."""
    pushed = {}

    def create_commit(self, repo_id, operations, **kwargs):
        for operation in operations:
            target = tmp_path / "hub" / repo_id / operation.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            with operation.as_file() as file:
                target.write_bytes(file.read())
            pushed[operation.path_in_repo] = target.stat().st_size

    def no_card(*args, **kwargs):
        raise errors.EntryNotFoundError("no README.md yet")

    create_repo = lambda self, repo_id, **kwargs: huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")  # noqa: E731
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", create_commit)
    monkeypatch.setattr(huggingface_hub.ModelCard, "load", no_card)
    pipe.push_to_hub("me/mine")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"} <= set(pushed)
    assert not [name for name in pushed if name.endswith((".py", ".bin", ".pkl", ".pt"))] and all(pushed.values())
    monkeypatch.setenv("DUET_MODELS", str(tmp_path / "hub"))
    options = {"max_new_tokens": 6} if hasattr(pipe, "return_name") else {}
    assert near(pipeline(pipe.task, model="me/mine", device="cpu", **options)(english[:3]), pipe(english[:3]))


# --- an app ---


def test_gradio_makes_an_app_of_a_pipeline(tiny_t5, classifier, asker, finder, english):
    gradio = pytest.importorskip("gradio")
    options = {"model": tiny_t5, "device": "cpu", "max_new_tokens": 4}
    with pytest.raises(ValueError):
        gradio.Interface.from_pipeline(classifier)
    with pipelines.restore():
        for task in ("translation", "summarization", "text2text-generation"):
            pipe = pipeline(task, **options)
            assert gradio.Interface.from_pipeline(pipe).fn(english[3]) == next(iter(pipe(english[3])[0].values()))
        (best,) = classifier(english[3])
        assert gradio.Interface.from_pipeline(classifier).fn(english[3]) == {best["label"]: best["score"]}
        answer = asker(question=QUESTIONS[0], context=english[3])
        asked = gradio.Interface.from_pipeline(asker).fn(english[3], QUESTIONS[0])
        assert asked == (answer["answer"], answer["score"])
        shown = gradio.Interface.from_pipeline(finder).fn(TEXTS[0])
        assert shown == {"text": TEXTS[0], "entities": finder(TEXTS[0])}
