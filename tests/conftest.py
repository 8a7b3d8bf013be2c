"""Tiny models and tokenizers for all tests, made once per session from real sentences of ragged length. No network."""

import os

import pytest

# before anything imports a library that reads them
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for mirror in ("DUET_DATA", "DUET_MODELS"):  # a developer's own mirrors must not decide what a test sees
    os.environ.pop(mirror, None)

ENGLISH = [
    "I am happy.",
    "No.",
    "Where is the nearest railway station, please?",
    "Two young men are playing football in a park while their friends watch from a wooden bench.",
    "She didn't answer; the phone kept ringing all afternoon.",
    "A film that starts slowly, finds its feet in the second act and ends with a scene nobody will forget!",
    "What a waste of time.",
    "The children's laughter could be heard across the lake.",
    "It costs 12.50 euros, which is far too much for soup.",
    "Well done!",
    "An old fisherman mends his net beside a blue boat at dawn.",
    "Dull, loud and twenty minutes too long, but the actors are wonderful.",
]
FRENCH = [
    "Je suis heureux.",
    "Non.",
    "Où est la gare la plus proche, s'il vous plaît ?",
    "Deux jeunes hommes jouent au football dans un parc pendant que leurs amis regardent depuis un banc en bois.",
    "Elle n'a pas répondu ; le téléphone a sonné tout l'après-midi.",
    "Un film qui démarre lentement et finit par une scène que personne n'oubliera !",
    "Quelle perte de temps.",
    "On entendait le rire des enfants de l'autre côté du lac.",
    "Cela coûte 12,50 euros, c'est bien trop pour une soupe.",
    "Bravo !",
    "Un vieux pêcheur répare son filet à côté d'un bateau bleu à l'aube.",
    "Ennuyeux, bruyant et trop long, mais les acteurs sont merveilleux.",
]
LABELS = ("negative", "positive")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Results of a test must not depend on how many cores the machine has, nor a test take them all."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def torch_computes(tmp_path_factory):
    """In the tests' own process `engine="auto"` is torch, whatever is installed: many look into the model. Commands
    that they start keep what they convert in a folder of this session."""
    from unittest import mock

    from pipelines import engines

    with mock.patch.dict(engines.AUTO, clear=True), mock.patch.dict(os.environ):
        os.environ["DUET_CACHE"] = str(tmp_path_factory.mktemp("cache"))
        yield


def seeded(model, seed: int = 0, scale: float = 3.0):
    """The model with weights of `scale` times their initial spread, so that its answers differ from text to text."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                spread = float(parameter.std()) * scale
                parameter.copy_(torch.randn(parameter.shape, generator=chance) * spread)
    return model.eval()


@pytest.fixture(scope="session")
def english() -> list[str]:
    return list(ENGLISH)


@pytest.fixture(scope="session")
def french() -> list[str]:
    return list(FRENCH)


@pytest.fixture(scope="session")
def piece_tokenizer():
    """A T5 tokenizer with a shared English-French vocabulary."""
    from pipelines.scratch import sentencepiece_tokenizer

    tokenizer = sentencepiece_tokenizer(ENGLISH + FRENCH, 200, "translate English to French: ")
    tokenizer.model_max_length = 64
    return tokenizer


@pytest.fixture(scope="session")
def word_tokenizer():
    """A BERT tokenizer."""
    from pipelines.scratch import wordpiece_tokenizer

    tokenizer = wordpiece_tokenizer(ENGLISH, 300)
    tokenizer.model_max_length = 64
    return tokenizer


def _saved(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _translator(family: str, tokenizer, **sizes):
    import torch

    from pipelines.scratch import new_model

    torch.manual_seed(0)
    model = seeded(new_model("text2text", family, tokenizer, sizes))
    model.config.task_specific_params = {
        "translation_en_to_fr": {"prefix": "translate English to French: ", "num_beams": 2, "max_length": 60}
    }
    return model


def _classifier(family: str, tokenizer, **sizes):
    import torch

    from pipelines.scratch import new_model

    torch.manual_seed(0)
    model = seeded(new_model("text_classification", family, tokenizer, sizes, labels=LABELS), scale=8.0)
    with torch.no_grad():  # half of the sentences on either side, so that a wrong answer shows
        logits = model(**tokenizer(ENGLISH, padding=True, return_tensors="pt")).logits
        lead = (logits[:, 1] - logits[:, 0]).sort().values
        model.classifier.bias[0] += (lead[len(lead) // 2 - 1] + lead[len(lead) // 2]) / 2
    return model


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory, piece_tokenizer):
    """Folder of a T5 translator with random weights, as `scripts.finetune` writes them."""
    model = _translator("t5", piece_tokenizer, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return _saved(tmp_path_factory.mktemp("models") / "tiny-t5", model, piece_tokenizer)


@pytest.fixture(scope="session")
def tiny_lstm_seq2seq(tmp_path_factory, piece_tokenizer):
    """Folder of an LSTM translator with random weights."""
    model = _translator("lstm", piece_tokenizer, d_model=32, hidden_size=32)
    return _saved(tmp_path_factory.mktemp("models") / "tiny-lstm", model, piece_tokenizer)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory, word_tokenizer):
    """Folder of a BERT classifier (negative, positive) with random weights."""
    model = _classifier(
        "bert",
        word_tokenizer,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    return _saved(tmp_path_factory.mktemp("models") / "tiny-bert", model, word_tokenizer)


@pytest.fixture(scope="session")
def tiny_adapters(tmp_path_factory, tiny_bert, word_tokenizer):
    """Folder of adapters over the tiny BERT classifier, which change its answers."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from pipelines import adapters

    torch.manual_seed(0)
    model = adapters.add(AutoModelForSequenceClassification.from_pretrained(tiny_bert), rank=2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=3.0)
    folder = tmp_path_factory.mktemp("models") / "tiny-adapters"
    adapters.save(model, folder, str(tiny_bert))
    word_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_lstm_classifier(tmp_path_factory, word_tokenizer):
    """Folder of a BiLSTM classifier (negative, positive) with random weights."""
    model = _classifier("lstm", word_tokenizer, d_model=32, hidden_size=32)
    return _saved(tmp_path_factory.mktemp("models") / "tiny-lstm-classifier", model, word_tokenizer)


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a task's command line in this process: (task, arguments, stdin) → (status, stdout lines, stderr)."""
    import io
    import sys

    from tasks import cli

    def run(task, *arguments, stdin: bytes = b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        capsys.readouterr()  # what making the tiny models said is not the command's
        status = cli.main(task, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out.splitlines(), err

    return run


@pytest.fixture
def bundled(tmp_path, monkeypatch, tiny_t5, tiny_lstm_seq2seq, tiny_bert, tiny_lstm_classifier):
    """The tiny models in place of the bundled checkpoints."""
    from pipelines import hub

    folders = {"translate-t5": tiny_t5, "translate-lstm": tiny_lstm_seq2seq}
    folders |= {"sentiment-bert": tiny_bert, "sentiment-lstm": tiny_lstm_classifier}
    (tmp_path / "checkpoints").mkdir()
    for name, folder in folders.items():
        (tmp_path / "checkpoints" / name).symlink_to(folder)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path / "checkpoints")


@pytest.fixture(params=["tiny_t5", "tiny_lstm_seq2seq"])
def translator(request):
    """A translation pipeline, one of each family."""
    from pipe_tools import made

    return made(request, request.param)


@pytest.fixture(params=["tiny_bert", "tiny_lstm_classifier"])
def classifier(request):
    """A classification pipeline, one of each family."""
    from pipe_tools import made

    return made(request, request.param)


@pytest.fixture(params=["tiny_t5", "tiny_lstm_seq2seq", "tiny_bert", "tiny_lstm_classifier"])
def pipe(request):
    """A pipeline of each shape and family."""
    from pipe_tools import made

    return made(request, request.param)
