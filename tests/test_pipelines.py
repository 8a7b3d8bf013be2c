"""`pipelines.pipeline`: names, forms of input and output, ragged batches, long texts; for both shapes and families."""

import subprocess
import sys
import threading

import datasets
import pytest
import torch
import transformers
from conftest import heard
from torch.utils.data import Dataset
from transformers import TextIteratorStreamer
from transformers.pipelines.pt_utils import KeyDataset

import pipelines
from pipelines import UserError, hub, pipeline
from pipelines.loading import torch_device

SEQ2SEQ = ("tiny_t5", "tiny_lstm_seq2seq")
CLASSIFIERS = ("tiny_bert", "tiny_lstm_classifier")
TASK_OF = dict.fromkeys(SEQ2SEQ, "translation_en_to_fr") | dict.fromkeys(CLASSIFIERS, "sentiment-analysis")


@pytest.fixture(params=SEQ2SEQ)
def translator(request):
    return pipeline("translation_en_to_fr", model=request.getfixturevalue(request.param), device="cpu")


@pytest.fixture(params=CLASSIFIERS)
def classifier(request):
    return pipeline("sentiment-analysis", model=request.getfixturevalue(request.param), device="cpu")


@pytest.fixture(params=[*SEQ2SEQ, *CLASSIFIERS])
def pipe(request):
    return pipeline(TASK_OF[request.param], model=request.getfixturevalue(request.param), device="cpu")


def near(outputs, expected) -> bool:
    """Equal texts and labels; scores within what the order of float32 sums explains."""
    if isinstance(outputs, list):
        return len(outputs) == len(expected) and all(map(near, outputs, expected))
    if isinstance(outputs, dict):
        return outputs.keys() == expected.keys() and all(near(outputs[key], expected[key]) for key in outputs)
    return outputs == (pytest.approx(expected, abs=2e-6) if isinstance(outputs, float) else expected)


# --- forms of input and output ---


def test_outputs_are_those_of_transformers_4(translator, classifier, english):
    assert isinstance(translator, transformers.Pipeline) and isinstance(classifier, transformers.Pipeline)
    (one,) = translator(english[0])
    assert list(one) == ["translation_text"] and type(one["translation_text"]) is str
    many = translator(english[:3])
    assert [list(record) for record in many] == [["translation_text"]] * 3 and many[0] == one
    several = translator(english[:2], num_return_sequences=2)
    assert [len(records) for records in several] == [2, 2] and several[0] == translator(
        english[0], num_return_sequences=2
    )
    (one,) = classifier(english[0])
    assert set(one) == {"label", "score"} and type(one["score"]) is float
    assert classifier(english[:2]) == [classifier(text)[0] for text in english[:2]]
    everything = classifier(english[0], top_k=None)
    assert {record["label"] for record in everything} == {"negative", "positive"}
    assert everything[0] == one and sum(record["score"] for record in everything) == pytest.approx(1)


def test_ragged_batch_is_one_by_one(pipe, english):
    one_by_one = [pipe(text)[0] for text in english]
    assert len({str(output) for output in one_by_one}) > len(english) / 2  # answers that differ, or this proves nothing
    assert len({output["label"] for output in one_by_one if "label" in output}) in (0, 2)
    for size in (1, 2, 5, 64):
        assert near(pipe(english, batch_size=size), one_by_one)


def test_every_kind_of_iterable(pipe, english):
    class Rows(Dataset):
        def __len__(self):
            return len(english)

        def __getitem__(self, i):
            return english[i]  # IndexError only by luck of the list: its length must decide

    expected = pipe(english)
    asked = []

    def lines():
        for text in english:
            asked.append(text)
            yield text

    table = datasets.Dataset.from_dict({"en": english, "n": list(range(len(english)))})
    for inputs in (tuple(english), table["en"], pipe_list := list(english)):
        outputs = pipe(inputs, batch_size=3)
        assert type(outputs) is list and near(outputs, expected)
    assert pipe_list == english
    for inputs in (lines(), iter(english), Rows(), KeyDataset(table, "en")):
        outputs = pipe(inputs, batch_size=3)
        assert not isinstance(outputs, list)
        assert near([output[0] if isinstance(output, list) else output for output in outputs], expected)
    assert pipe([]) == [] and list(pipe(iter([]))) == []
    # a generator is read as answers are taken, not ahead
    asked.clear()
    stream = pipe(lines(), batch_size=2)
    next(stream)
    assert len(asked) <= 3


def test_blank_texts(translator, classifier, english):
    for blank in ("", " ", "\n\n", "\u00a0"):
        assert translator(blank) == [{"translation_text": ""}]
        assert classifier(blank)[0]["label"] in ("negative", "positive")
    with_blanks = ["", english[3], " \n ", english[1], ""]
    outputs = translator(with_blanks, batch_size=2)
    assert outputs == [translator(text)[0] for text in with_blanks]
    assert [bool(output["translation_text"]) for output in outputs] == [False, True, False, True, False]
    assert near(classifier(with_blanks, batch_size=5), [classifier(text)[0] for text in with_blanks])


def test_a_tokenizer_that_adds_nothing_may_give_no_token_at_all(tiny_lstm_classifier):
    pipe = pipeline("sentiment-analysis", model=tiny_lstm_classifier, device="cpu")
    pipe.tokenizer.backend_tokenizer.post_processor = None
    assert pipe.tokenizer("")["input_ids"] == []
    assert pipe("")[0]["score"] <= 1 and len(pipe(["", "happy"], batch_size=2)) == 2


def test_tensors_and_text(translator, english):
    (both,) = translator(english[3], return_tensors=True, return_text=True)
    assert set(both) == {"translation_text", "translation_token_ids"}
    assert translator(english[3]) == [{"translation_text": both["translation_text"]}]
    decoded = translator.tokenizer.decode(both["translation_token_ids"], skip_special_tokens=True)
    assert decoded == both["translation_text"]
    alone = [translator(text, return_tensors=True)[0]["translation_token_ids"] for text in english]
    batched = translator(english, return_tensors=True, batch_size=5)
    assert all(torch.equal(a, b["translation_token_ids"]) for a, b in zip(alone, batched, strict=True))


@pytest.mark.parametrize("family", SEQ2SEQ)
@pytest.mark.parametrize("task, key", [("summarization", "summary_text"), ("text2text-generation", "generated_text")])
def test_the_other_text2text_tasks(request, family, task, key, english):
    pipe = pipeline(task, model=request.getfixturevalue(family), device="cpu", max_new_tokens=9)
    assert [list(output) for output in pipe(english[:3])] == [[key]] * 3


def test_wrong_inputs_are_named(translator):
    for wrong in (None, 7, {"text": "x"}, [["nested"]], ["fine", 3]):
        with pytest.raises(UserError, match="takes texts"):
            translator(wrong)


# --- settings of generate ---


def test_settings_of_the_call_over_the_pipeline_over_the_checkpoint(tiny_t5, monkeypatch):
    used = {}

    def asked(pipe, **options):
        used.clear()
        with monkeypatch.context() as patch:
            generate = pipe.model.generate
            patch.setattr(pipe.model, "generate", lambda **kwargs: used.update(kwargs) or generate(**kwargs))
            pipe("No.", **options)
        return used

    plain = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu")
    assert (asked(plain)["num_beams"], used["max_length"]) == (2, 60)
    made = pipeline("translation_en_to_fr", model=tiny_t5, device="cpu", num_beams=3, max_new_tokens=7)
    assert (asked(made)["num_beams"], used["max_length"], used["max_new_tokens"]) == (3, None, 7)
    assert (asked(made, num_beams=1)["num_beams"], used["max_new_tokens"]) == (1, 7)
    assert (asked(made, max_length=5)["max_length"], used["max_new_tokens"]) == (5, None)
    own = transformers.GenerationConfig(max_new_tokens=4, num_beams=1, decoder_start_token_id=0)
    assert asked(plain, generation_config=own)["generation_config"].num_beams == 1
    other = pipeline("text2text-generation", model=tiny_t5, device="cpu")
    assert asked(other)["num_beams"] == 4  # transformers 4's default where nobody sets it


def test_lengths_are_set_without_warnings(translator, english, recwarn, caplog):
    (short,) = translator(english[3], max_new_tokens=3, return_tensors=True)
    assert len(short["translation_token_ids"]) <= 4
    (short,) = translator(english[3], max_length=3, return_tensors=True)
    assert len(short["translation_token_ids"]) <= 3
    assert not caplog.text and not [w for w in recwarn if "max_" in str(w.message)]


def test_without_any_limit_the_source_sets_one_for_each_row_of_a_batch(translator, english, monkeypatch):
    translator._settings = {}
    monkeypatch.setattr(translator.model.generation_config, "eos_token_id", None)  # never ends by itself
    sources = [len(translator.tokenizer(translator.prefix + text)["input_ids"]) for text in english]
    for beams in (1, 3):
        batch = translator(english, batch_size=6, num_beams=beams, return_tensors=True)
        for output, text, source in zip(batch, english, sources, strict=True):
            ids = output["translation_token_ids"]
            assert len(ids) <= 1 + 32 + 2 * source
            assert torch.equal(ids, translator(text, num_beams=beams, return_tensors=True)[0]["translation_token_ids"])
    assert len({len(output["translation_token_ids"]) for output in batch}) > 3


def test_an_answer_cut_by_a_limit_nobody_asked_for_is_told_once(translator, english, monkeypatch, caplog):
    monkeypatch.setattr(translator.model.generation_config, "eos_token_id", 199)
    translator(english[:4], num_beams=1, suppress_tokens=[199])
    translator(english[0], num_beams=1, suppress_tokens=[199])
    assert caplog.text.count("may stop short") == 1


def test_stop_sequence_and_sampling(translator, english):
    (whole,) = translator(english[3], num_beams=1, return_tensors=True)
    ids = whole["translation_token_ids"].tolist()
    stop = next(i for i in ids[3:] if translator.tokenizer.decode([i]).strip())
    piece = translator.tokenizer.convert_ids_to_tokens(stop)
    if translator.tokenizer.encode(piece, add_special_tokens=False)[:1] == [stop]:
        (cut,) = translator(english[3], num_beams=1, stop_sequence=piece, return_tensors=True)
        assert cut["translation_token_ids"].tolist() == ids[: ids.index(stop) + 1]
    torch.manual_seed(1)
    drawn = translator(english[3], do_sample=True, num_beams=1, num_return_sequences=4)
    assert len({record["translation_text"] for record in drawn}) > 1


def test_streamer(translator, english):
    streamer = TextIteratorStreamer(translator.tokenizer, skip_special_tokens=True)
    thread = threading.Thread(target=translator, args=(english[3],), kwargs={"streamer": streamer, "batch_size": 1})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == translator(english[3], num_beams=1)[0]["translation_text"] != ""


# --- long texts ---


@pytest.fixture(scope="module")
def novel(english) -> str:
    """10,000 words in ragged sentences and paragraphs, and one word longer than a window."""
    sentences = [*english, "Pneumono" + "ultramicroscopic" * 20 + "."]
    words, lines, i = 0, [], 0
    while words < 10_000:
        line = " ".join(sentences[(i * 7 + k * k) % len(sentences)] for k in range(1 + i % 9))
        words, i = words + len(line.split()), i + 1
        lines.append(line)
    return "\n\n".join(lines)


def kept(pipe, parts: list[list[int]], prefix: str = "") -> list[int]:
    """The tokens of the text itself in what reached the model, in order."""
    special = set(pipe.tokenizer.all_special_ids) - {pipe.tokenizer.unk_token_id}
    skip = len(pipe.tokenizer(prefix, add_special_tokens=False)["input_ids"])
    return [token for part in parts for token in [i for i in part if i not in special][skip:]]


def test_nothing_of_10000_words_is_dropped(pipe, novel):
    prefix = getattr(pipe, "prefix", None) or ""
    options = {"max_new_tokens": 2, "num_beams": 1} if prefix else {}
    window = pipe.tokenizer.model_max_length
    with heard(pipe) as parts:
        (output,) = pipe(novel, **options)
    assert max(map(len, parts)) <= window and len(parts) > 100
    # characters, since a word cut in two changes its tokens
    letters = "".join(pipe.tokenizer.decode(kept(pipe, [part], prefix)) for part in parts)
    whole = pipe.tokenizer.decode(pipe.tokenizer(novel, add_special_tokens=False, verbose=False)["input_ids"])
    assert strip(letters) == strip(whole) and len(strip(whole)) > 30_000
    assert output and next(iter(output.values())) is not None


def strip(text: str) -> str:
    return "".join(text.replace("##", "").split())


def test_tokens_that_reach_the_model_are_those_of_the_text(pipe, english):
    """Where cuts fall between words, the parts' tokens are the text's, counted and in order."""
    prefix = getattr(pipe, "prefix", None) or ""
    text = " ".join(english * 5)
    with heard(pipe) as parts:
        pipe(text, **({"max_new_tokens": 2, "num_beams": 1} if prefix else {}))
    assert len(parts) > 5
    assert kept(pipe, parts, prefix) == pipe.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def test_long_and_short_texts_share_batches(pipe, english):
    texts = [english[0], " ".join(english), english[1], "\n".join(english[::-1]), english[4]]
    one_by_one = [pipe(text)[0] for text in texts]
    with heard(pipe) as parts:
        assert near(pipe(texts, batch_size=4), one_by_one)
    assert len(parts) > len(texts)
    streamed = [output[0] if isinstance(output, list) else output for output in pipe(iter(texts), batch_size=3)]
    assert near(streamed, one_by_one)


def test_a_text_that_fits_stays_whole_and_a_longer_one_breaks_at_sentences(translator, english):
    two, many = " ".join(english[:2]), " ".join(english)
    with heard(translator) as parts:
        translator(two)
    assert len(parts) == 1
    with heard(translator) as parts:
        (whole,) = translator(many)
    texts = [translator.tokenizer.decode(ids, skip_special_tokens=True) for ids in parts]
    assert all(text.endswith((".", "!", "?")) for text in texts)
    prefix = translator.prefix.strip()
    pieces = [translator(text.removeprefix(prefix).strip())[0]["translation_text"] for text in texts]
    assert whole["translation_text"] == " ".join(pieces)


def test_split_sentences_keeps_line_breaks(tiny_t5, english):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_t5)
    model.config.task_specific_params["translation_en_to_fr"]["split_sentences"] = True
    pipe = pipeline("translate", model=model, tokenizer=tokenizer, device="cpu", max_new_tokens=9)
    answers = [pipe(text, split_sentences=False)[0]["translation_text"] for text in english[:4]]
    text = "{} {}\n\n{}\n{}".format(*english[:4])
    assert pipe(text) == [{"translation_text": "{} {}\n\n{}\n{}".format(*answers)}]
    assert pipe(text, split_sentences=False) != pipe(text)
    assert "split_sentences" not in pipe._settings


def test_truncation_is_there_when_asked_for(pipe, english):
    text = " ".join(english)
    options = {"max_new_tokens": 2} if hasattr(pipe, "return_name") else {}
    prefix = getattr(pipe, "prefix", None) or ""
    with heard(pipe) as parts:
        pipe(text, truncation=True, **options)
    assert parts == [pipe.tokenizer(prefix + text, truncation=True, max_length=64)["input_ids"]]
    for whole in ({"truncation": False}, {"truncation": "do_not_truncate"}):
        with heard(pipe) as parts:
            pipe(text, **whole, **options)
        assert len(parts) > 1


def test_window_parameter(pipe, english):
    options = {"max_new_tokens": 2} if hasattr(pipe, "return_name") else {}
    with heard(pipe) as parts:
        pipe(english[5], window=20, **options)
    assert len(parts) > 1 and max(map(len, parts)) <= 20
    if options:
        with pytest.raises(UserError, match="no room"):
            pipe("No.", window=2)


def test_scores_of_a_long_text_are_the_mean_over_its_parts(classifier, english):
    text = " ".join(english)
    with heard(classifier) as parts:
        everything = classifier(text, top_k=None)
    assert len(parts) > 1
    mean = dict.fromkeys(("negative", "positive"), 0.0)
    for ids in parts:
        logits = classifier.model(torch.tensor([ids])).logits[0]
        for label, score in zip(("negative", "positive"), logits.softmax(-1).tolist(), strict=True):
            mean[label] += score * len(ids) / sum(map(len, parts))
    assert {record["label"]: record["score"] for record in everything} == pytest.approx(mean)
    assert everything == sorted(everything, key=lambda record: -record["score"])
    assert classifier(text) == everything[:1] == classifier(text, top_k=1)
    assert classifier([text, "No."], top_k=1)[0] == everything[:1]


def test_a_long_pair_keeps_its_short_side(classifier, english):
    pair = {"text": "Well done!", "text_pair": " ".join(english)}
    with heard(classifier) as parts:
        classifier(pair)
    head = classifier.tokenizer("Well done!", add_special_tokens=False)["input_ids"]
    assert len(parts) > 1 and all(ids[1 : len(head) + 1] == head for ids in parts)
    with pytest.raises(UserError, match="both texts"):
        classifier({"text": " ".join(english), "text_pair": " ".join(english)})


def test_short_texts_score_bit_for_bit_as_transformers_own(tiny_bert, english):
    ours = pipeline("sentiment-analysis", model=tiny_bert, device="cpu")
    theirs = transformers.pipeline("sentiment-analysis", model=str(tiny_bert), device="cpu", dtype=torch.float32)
    assert [ours(text) for text in english] == [theirs(text) for text in english]
    assert ours(english, batch_size=5, top_k=None) == theirs(english, batch_size=5, top_k=None)


# --- loading ---


def test_save_pretrained_round_trip(pipe, english, tmp_path):
    task = pipe.task
    pipe.save_pretrained(tmp_path / "a@b")  # a folder's name may hold what marks a revision
    again = pipeline(task, model=tmp_path / "a@b", device="cpu")
    assert again(english) == pipe(english)
    assert not [file for file in (tmp_path / "a@b").iterdir() if file.suffix in (".bin", ".pkl", ".pt", ".py")]


def test_half_precision_files_load_as_float32(tiny_t5, tmp_path):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5, dtype=torch.float16)
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_t5).save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).dtype == torch.float16
    assert pipeline("translate", model=tmp_path).model.dtype == torch.float32
    assert pipeline("translate", model=tmp_path, dtype="auto").model.dtype == torch.float16
    assert pipeline("translate", model=tmp_path, dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_a_loaded_model_needs_its_tokenizer(tiny_bert, english):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    with pytest.raises(UserError, match="tokenizer"):
        pipeline("sentiment-analysis", model=model)
    expected = pipeline("sentiment", model=tiny_bert, device="cpu")(english)
    assert pipeline("sentiment-analysis", model=model, tokenizer=tiny_bert, device="cpu")(english) == expected
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    assert pipeline("opinions", model=model, tokenizer=tokenizer, device="cpu")(english) == expected


@pytest.fixture
def shelf(tmp_path, monkeypatch, tiny_t5, tiny_bert, tiny_lstm_seq2seq, tiny_lstm_classifier):
    """Four bundled checkpoints, whatever the package holds today."""
    for name, folder in (
        ("translate-t5", tiny_t5),
        ("translate-lstm", tiny_lstm_seq2seq),
        ("sentiment-bert", tiny_bert),
        ("sentiment-lstm", tiny_lstm_classifier),
        ("topics-bert", tiny_bert),
    ):
        (tmp_path / name).symlink_to(folder)
    (tmp_path / "notes-draft").mkdir()  # no config.json: no checkpoint
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path)
    return tmp_path


def test_bundled_checkpoints_by_role_and_family(shelf):
    assert hub.bundled() == {
        "translate": {"t5": shelf / "translate-t5", "lstm": shelf / "translate-lstm"},
        "sentiment": {"bert": shelf / "sentiment-bert", "lstm": shelf / "sentiment-lstm"},
        "topics": {"bert": shelf / "topics-bert"},
    }
    for task in ("translate", "translation", "translation_en_to_fr", "text2text-generation"):
        assert hub.resolve(task) == hub.resolve(task, "t5") == (str(shelf / "translate-t5"), None)
        assert hub.resolve(task, "lstm") == (str(shelf / "translate-lstm"), None)
    for task in ("sentiment", "sentiment-analysis", "text-classification"):
        assert hub.resolve(task) == hub.resolve(task, "bert") == (str(shelf / "sentiment-bert"), None)
    for task, model, kind in (
        ("translation", "transformer", "T5ForConditionalGeneration"),
        ("translate", "lstm", "LSTMForConditionalGeneration"),
        ("sentiment-analysis", "transformer", "BertForSequenceClassification"),
        ("sentiment", "lstm", "LSTMForSequenceClassification"),
        ("topics", "transformer", "BertForSequenceClassification"),  # no Hub name: its shape from the checkpoint
    ):
        assert type(pipeline(task, model=model).model).__name__ == kind
    assert pipeline("translation").prefix == pipeline("translate").prefix == "translate English to French: "


@pytest.mark.parametrize(
    "task, model, words",
    [
        ("translatoin", "transformer", ["translatoin", "Did you mean 'translation'?"]),
        ("sentimant", "tiny_bert", ["Did you mean 'sentiment'?"]),
        ("astrology", "transformer", ["unknown task", "translate", "sentiment-analysis"]),
        ("astrology", "org/name", ["unknown task"]),
        ("translate", "bert", ["no bert is bundled", "transformer, lstm, t5"]),
        ("topics", "lstm", ["no lstm is bundled", "transformer, bert"]),
        ("translation_en_to_de", "transformer", ["translation_en_to_de", "Hub id"]),
        ("translate", "./no-such-folder", ["no such model folder"]),
        ("translate", "/no/such/folder", ["no such model folder"]),
        ("translate", "lstn", ["out of reach", "Did you mean 'lstm'?"]),
        ("translate", "org/name", ["out of reach", "transformer, lstm, t5"]),
        ("translate", "tiny_bert", ["bert", "can't do translate"]),
        ("sentiment", "tiny_t5", ["not trained for sentiment"]),
        ("sentiment", "tiny_lstm_seq2seq", ["not trained for sentiment"]),
        ("translate", "tiny_lstm_classifier", ["not trained for translate"]),
        ("sentiment", "tests", ["no config.json"]),
        (3, "transformer", ["the task must be a name"]),
    ],
)
def test_what_cannot_be_loaded_gets_one_line(shelf, request, task, model, words):
    model = request.getfixturevalue(model) if model.startswith("tiny_") else model
    with pytest.raises(UserError) as error:
        pipeline(task, model=model)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), str(error.value)


def test_names_of_models():
    assert hub.resolve("translate", "google-t5/t5-base") == ("google-t5/t5-base", None)
    assert hub.resolve("translate", "google-t5/t5-base@v1.0") == ("google-t5/t5-base", "v1.0")
    assert hub.resolve("translate", "google-t5/t5-base@refs/pr/3") == ("google-t5/t5-base", "refs/pr/3")
    assert hub.resolve("translate", "gpt2-medium") == ("gpt2-medium", None)


def test_a_folder_whose_name_holds_an_at_sign_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name@v1").mkdir(parents=True)
    assert hub.resolve("translate", "org/name@v1") == ("org/name@v1", None)
    assert hub.resolve("translate", "org/name@v2") == ("org/name", "v2")
    with pytest.raises(UserError, match="no such model folder"):
        hub.resolve("translate", "./org/name@v2")


def test_engines_kinds_and_devices(tiny_bert):
    assert pipelines.kind("text2text").AUTO == "AutoModelForSeq2SeqLM"
    with pytest.raises(UserError, match="Did you mean 'text2text'"):
        pipelines.kind("text2texts")
    assert pipeline("sentiment", model=tiny_bert, engine="torch", device="cpu")
    for engine, words in (("onnx", "not available"), ("ctranslate2", "not available"), ("torhc", "mean 'torch'")):
        with pytest.raises(UserError, match=words):
            pipeline("sentiment", model=tiny_bert, engine=engine)
    assert torch_device(-1) == torch_device("cpu") == torch_device(torch.device("cpu")) == torch.device("cpu")
    assert torch_device(None) == torch_device("auto")
    for wrong in ("gpu", "cuda:99", 99, "cuda:x", 2.5):
        with pytest.raises(UserError, match="device"):
            torch_device(wrong)


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu(request, english):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for family, task in TASK_OF.items():
        folder = request.getfixturevalue(family)
        expected = pipeline(task, model=folder, device="cpu")(english, batch_size=5)
        pipe = pipeline(task, model=folder)
        assert pipe.device.type == "cuda"
        for output, reference in zip(pipe(english, batch_size=5), expected, strict=True):
            assert output.keys() == reference.keys()
            if "score" in output:
                assert output["score"] == pytest.approx(reference["score"], abs=1e-3)


def test_import_is_light():
    """`import pipelines` and looking up a name load neither torch nor transformers."""
    code = (
        "import sys, pipelines; from pipelines import hub; hub.bundled(); hub.resolve('translate', 'org/name');"
        "print(*[m for m in ('torch', 'transformers', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
