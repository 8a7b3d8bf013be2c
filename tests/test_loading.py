"""`pipelines.pipeline`: names of tasks and models, what is bundled, files, devices, and what can't be loaded."""

import subprocess
import sys

import pytest
import torch
import transformers
from pipe_tools import TASK_OF

import pipelines
from pipelines import UserError, hub, pipeline
from pipelines.loading import torch_device


def test_save_pretrained_round_trip(pipe, english, tmp_path):
    task = pipe.task
    pipe.save_pretrained(tmp_path / "a@b")  # a folder's name may hold what marks a revision
    again = pipeline(task, model=tmp_path / "a@b", device="cpu")
    options = pipe._generate_kwargs if hasattr(pipe, "return_name") else {}
    assert again(english[:4], **options) == pipe(english[:4])
    assert not [file for file in (tmp_path / "a@b").iterdir() if file.suffix in (".bin", ".pkl", ".pt", ".py")]


def test_half_precision_files_load_as_float32(tiny_t5, tmp_path):
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tiny_t5, dtype=torch.float16)
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_t5).save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).dtype == torch.float16
    assert pipeline("translate", model=tmp_path).model.dtype == torch.float32
    assert pipeline("translate", model=tmp_path, dtype="auto").model.dtype == torch.float16
    assert pipeline("translate", model=tmp_path, dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_a_loaded_model_needs_its_tokenizer(tiny_bert, english, tmp_path):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    with pytest.raises(UserError, match="tokenizer"):
        pipeline("sentiment-analysis", model=model)
    expected = pipeline("sentiment", model=tiny_bert, device="cpu")(english)
    assert pipeline("sentiment-analysis", model=model, tokenizer=tiny_bert, device="cpu")(english) == expected
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    model.config.architectures = None  # as in a model just made from a configuration
    assert pipeline("opinions", model=model, tokenizer=tokenizer, device="cpu")(english) == expected
    encoder = transformers.AutoModel.from_pretrained(tiny_bert)
    with pytest.raises(UserError, match="BertModel"):
        pipeline("opinions", model=encoder, tokenizer=tokenizer)
    tokenizer.save_pretrained(tmp_path)  # a tokenizer's folder needs no config.json
    assert pipeline("sentiment", model=tiny_bert, tokenizer=tmp_path, device="cpu")(english) == expected


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
    for engine, words in (("torhc", "mean 'torch'"), ("TORCH", "mean 'torch'")):
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
