"""Real Hub checkpoints load by the ordinary route: local folders in exactly their layout (see `hub_folders`)."""

import json
import socket
import time

import hub_folders
import pytest
import sentencepiece
import torch
from pipe_tools import generating, heard, near
from transformers import pipeline as theirs

from pipelines import UserError, hub, pipeline

SHORT = {"max_new_tokens": 12}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory, english, french):
    """A folder as `DUET_MODELS` names it: <org>/<name>."""
    root = tmp_path_factory.mktemp("hub")
    both = english + french
    hub_folders.t5(root / "google-t5" / "t5-small", both)
    hub_folders.t5(root / "google-t5" / "t5-base", both, layers=3)
    hub_folders.marian(root / "Helsinki-NLP" / "opus-mt-en-fr", english, french)
    hub_folders.distilbert(root / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english", english)
    return root


@pytest.fixture
def opus(mirror):
    return mirror / "Helsinki-NLP" / "opus-mt-en-fr"


@pytest.fixture
def sst2(mirror):
    return mirror / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.mark.parametrize("name, layers", [("t5-small", 2), ("t5-base", 3)])
def test_t5_reads_spiece_model_and_task_specific_params(mirror, name, layers, english):
    folder = mirror / "google-t5" / name
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "spiece.model",
        "tokenizer_config.json",
    ]
    pipe = pipeline("translation_en_to_fr", model=folder, device="cpu")
    assert type(pipe.model).__name__ == "T5ForConditionalGeneration" and pipe.model.config.num_layers == layers
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    for text in english:
        assert pipe.tokenizer(text)["input_ids"] == [*pieces.encode(text), 1]
    assert pipe.tokenizer.convert_tokens_to_ids("<extra_id_0>") == pieces.get_piece_size() + 99
    with heard(pipe) as texts:
        outputs = pipe(english, batch_size=5, **SHORT)
    assert [list(output) for output in outputs] == [["translation_text"]] * len(english)
    assert texts == [pieces.encode("translate English to French: " + text) + [1] for text in english]


@pytest.mark.parametrize(
    "task, prefix, settings, key",
    [
        ("translation_en_to_de", "translate English to German: ", (4, 300, None), "translation_text"),
        ("translation_en_to_fr", "translate English to French: ", (4, 300, None), "translation_text"),
        ("translate", "translate English to French: ", (4, 300, None), "translation_text"),
        ("summarization", "summarize: ", (4, 200, 30), "summary_text"),
        ("text2text-generation", "", (4, None, None), "generated_text"),
    ],
)
def test_t5_answers_each_task_with_its_own_settings(mirror, task, prefix, settings, key):
    pipe = pipeline(task, model=mirror / "google-t5" / "t5-small", device="cpu")
    with heard(pipe) as texts, generating(pipe) as used:
        (output,) = pipe("No.", max_time=0.01)  # one step: random weights would go on to the limit
    assert list(output) == [key]
    assert texts == pipe.tokenizer([prefix + "No."])["input_ids"]
    assert (used["num_beams"], used.get("max_length"), used.get("min_length")) == settings
    if settings[1] is None:  # the checkpoint sets nothing for this one: not 20, where `generate` alone would stop
        assert used["max_new_tokens"] == 256
    # the checkpoint's settings are read, not used up
    assert pipe.model.config.task_specific_params == hub_folders.T5_TASKS


def test_translation_without_a_pair_takes_the_first_as_transformers_4_did(mirror, caplog):
    pipe = pipeline("translation", model=mirror / "google-t5" / "t5-small", device="cpu")
    assert pipe.prefix == "translate English to German: " and pipe.task == "translation_en_to_de"
    assert "translation_en_to_fr" in caplog.text


def test_marian(opus, english, french, recwarn):
    assert sorted(file.name for file in opus.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "tokenizer_config.json",
        "vocab.json",
    ]
    pipe = pipeline("translation", model=opus, device="cpu")
    assert not [warning for warning in recwarn if "sacremoses" in str(warning.message)]
    assert type(pipe.model).__name__ == "MarianMTModel" and type(pipe.tokenizer).__name__ == "MarianTokenizer"
    vocabulary = json.loads((opus / "vocab.json").read_text(encoding="utf-8"))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(opus / "source.spm"))
    pad = vocabulary["<pad>"]
    with heard(pipe) as texts:
        outputs = pipe(english, batch_size=4, return_tensors=True, **SHORT)
    assert texts == [[vocabulary[piece] for piece in pieces.encode(text, out_type=str)] + [0] for text in english]
    assert [list(output) for output in outputs] == [["translation_token_ids"]] * len(english)
    for output in outputs:
        ids = output["translation_token_ids"].tolist()
        assert ids[0] == pad and pad not in ids[1:]  # decoder_start_token_id, and bad_words_ids at work
        assert ids[-1] == 0  # forced_eos_token_id
    for text in french:
        assert pipe.tokenizer.decode(pipe.tokenizer(text_target=text)["input_ids"], skip_special_tokens=True) == text
    settings = pipe.model.generation_config
    assert (settings.num_beams, settings.max_length, settings.renormalize_logits) == (4, 512, True)
    assert [pipe(text, **SHORT)[0] for text in english] == pipe(english, batch_size=5, **SHORT)


def test_marian_answers_translate_too(opus):
    assert pipeline("translate", model=opus, device="cpu")("No.", **SHORT) == pipeline(
        "translation_en_to_fr", model=opus, device="cpu"
    )("No.", **SHORT)


def test_distilbert_answers_as_transformers_own_pipeline(sst2, english):
    assert sorted(file.name for file in sst2.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    ours = pipeline("sentiment-analysis", model=sst2, device="cpu")
    reference = theirs("sentiment-analysis", model=str(sst2), device="cpu", dtype=torch.float32)
    assert {ours(text)[0]["label"] for text in english} == {"NEGATIVE", "POSITIVE"}
    assert ours.tokenizer("HAPPY")["input_ids"] == ours.tokenizer("happy")["input_ids"]
    for options in ({}, {"top_k": None}, {"top_k": 1}, {"top_k": 5}, {"function_to_apply": "sigmoid"}):
        assert near(ours(english, **options), reference(english, **options))
        assert ours(english, batch_size=1, **options) == reference(english, **options)
        assert ours(english[0], **options) == reference(english[0], **options)
    pair = {"text": english[0], "text_pair": english[4]}
    assert ours(pair) == reference(pair) and ours([pair, pair]) == reference([pair, pair])


@pytest.mark.parametrize(
    "name", ["google-t5/t5-small", "Helsinki-NLP/opus-mt-en-fr", "Helsinki-NLP/opus-mt-en-fr@main"]
)
def test_duet_models_wins_over_the_hub(mirror, name, monkeypatch):
    monkeypatch.setenv("DUET_MODELS", str(mirror))
    folder = mirror / name.partition("@")[0]
    assert hub.resolve("translate", name) == (str(folder), None)
    by_name = pipeline("translation_en_to_fr", model=name, device="cpu")
    assert by_name("Well done!", **SHORT) == pipeline("translation_en_to_fr", model=folder, device="cpu")(
        "Well done!", **SHORT
    )


def test_a_mirror_may_hold_a_revision(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DUET_MODELS", str(tmp_path))
    for name in ("org/name", "org/name@v2"):
        (tmp_path / name).mkdir(parents=True)
    assert hub.resolve("translate", "org/name@v2") == (str(tmp_path / "org" / "name@v2"), None)
    assert hub.resolve("translate", "org/name@v1") == (str(tmp_path / "org" / "name"), None)
    assert hub.resolve("translate", "org/other@v1") == ("org/other", "v1")
    with pytest.raises(UserError):
        hub.resolve("translate", "org/../../etc")


def test_a_hub_cache_is_read_without_network(mirror, english, tmp_path, monkeypatch):
    """By id, as the Hub's client leaves a download in its cache: blobs, snapshots and refs."""
    from huggingface_hub import constants

    source = mirror / "google-t5" / "t5-small"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--google-t5--t5-small"
    commits = {"main": "a" * 40, "v1": "b" * 40}
    for name, commit in commits.items():
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / name).write_text(commit)
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for file in source.iterdir():
            (snapshot / file.name).write_bytes(file.read_bytes())
    config = json.loads((repository / "snapshots" / commits["v1"] / "config.json").read_text())
    config["task_specific_params"]["translation_en_to_fr"]["prefix"] = "v1: "
    hub_folders.write(repository / "snapshots" / commits["v1"] / "config.json", config)
    assert pipeline("translate", model="google-t5/t5-small", device="cpu").prefix == "translate English to French: "
    for request in ({"model": "google-t5/t5-small@v1"}, {"model": "google-t5/t5-small", "revision": "v1"}):
        pipe = pipeline("translate", device="cpu", **request)
        assert pipe.prefix == "v1: " and pipe("No.", **SHORT)
    with pytest.raises(UserError, match="two revisions"):
        pipeline("translate", model="google-t5/t5-small@v1", revision="main")
    with pytest.raises(UserError, match="google-t5/t5-small@v3"):
        pipeline("translate", model="google-t5/t5-small@v3")


@pytest.mark.parametrize("flag", [True, False], ids=["HF_HUB_OFFLINE", "no network"])
def test_an_uncached_id_without_network_fails_at_once_in_one_line(flag, monkeypatch):
    from huggingface_hub import constants

    tries = []

    def refuse(*arguments, **options):
        tries.append(arguments)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", flag)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits to try again"))
    with pytest.raises(UserError) as error:
        pipeline("translation", model="no-such-org/no-such-model")
    message = str(error.value)
    assert "no-such-org/no-such-model" in message and "out of reach" in message and "\n" not in message
    assert len(tries) <= (0 if flag else 2)


def test_only_safetensors(sst2, tmp_path):
    """A folder with a pickle alone is refused, and the pickle isn't opened."""
    for file in sst2.iterdir():
        if file.name != "model.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"opening this would fail with another message")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        pipeline("sentiment-analysis", model=tmp_path)


def test_code_of_a_checkpoint_is_not_run(sst2, tmp_path):
    for file in sst2.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.C", "AutoModelForSequenceClassification": "mine.M"},
    }
    hub_folders.write(tmp_path / "config.json", config)
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError) as error:
        pipeline("sentiment-analysis", model=tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["config.json", "spiece.model", "model.safetensors"])
def test_a_broken_file_is_named_in_one_line(mirror, file, tmp_path):
    for source in (mirror / "google-t5" / "t5-small").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes()[: 200 if source.name == file else None])
    with pytest.raises(UserError) as error:
        pipeline("translate", model=tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_tokenizers_round_trip(mirror, opus, sst2, english, tmp_path):
    """What `save_pretrained` writes of each of these reads the same again."""
    for task, folder in (("translate", mirror / "google-t5" / "t5-small"), ("translate", opus), ("sentiment", sst2)):
        pipe = pipeline(task, model=folder, device="cpu")
        pipe.save_pretrained(tmp_path / folder.name)
        again = pipeline(task, model=tmp_path / folder.name, device="cpu")
        options = {} if task == "sentiment" else SHORT
        assert again(english[:3], **options) == pipe(english[:3], **options)
        assert again.tokenizer(english)["input_ids"] == pipe.tokenizer(english)["input_ids"]
