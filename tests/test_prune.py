"""`scripts.prune`: a smaller vocabulary for an encoder and the adapters over it, and the same answers."""

import json
import re
import shutil

import pytest
import torch
import transformers
from pipe_tools import near
from safetensors.torch import load_file

from pipelines import adapters, hub, pipeline
from scripts import prune


@pytest.fixture
def family(tmp_path, tiny_bert, monkeypatch):
    """A folder with an encoder, and adapters over it that change word embeddings too."""
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path / "there")
    base, over = tmp_path / "there" / "sentiment-bert", tmp_path / "there" / "classify-bert"
    shutil.copytree(tiny_bert, base)
    auto = transformers.AutoModelForSequenceClassification
    trained = auto.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    peft = adapters.extract(trained, auto.from_pretrained(base, dtype=torch.float32), 4)
    adapters.save(peft, over, "sentiment-bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, over / name)
    return tmp_path / "there"


def answers(texts: list[str]) -> list:
    return [
        pipeline("text-classification", model=hub.CHECKPOINTS / name, device="cpu")(texts, top_k=None)
        for name in ("sentiment-bert", "classify-bert")
    ]


def test_texts_of_the_pieces_that_stay_are_answered_as_before(family, english, monkeypatch, tmp_path, capsys):
    texts = english[:6]
    before = answers(texts)
    assert not near(before[0], before[1])  # so the adapters tell
    monkeypatch.setattr(prune, "training_texts", lambda: texts)
    card = "# A card\n\n- Start: here.\n\n## Licences of the data\n\nNone.\n"
    (family / "sentiment-bert" / "README.md").write_text(card)
    assert prune.main(["--least-uses", "1", "--output", str(tmp_path / "smaller")]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["classify-bert", "sentiment-bert"]
    assert "pieces stay" in err
    card = (tmp_path / "smaller" / "sentiment-bert" / "README.md").read_text()
    assert re.fullmatch(r"# A card\n\n- Start: here.\n- Then .* stay\.\n\n## Licences of the data\n\nNone\.\n", card)
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path / "smaller")
    assert near(answers(texts), before)
    for name in ("sentiment-bert", "classify-bert"):
        old, new = (json.loads((place / name / "config.json").read_text()) for place in (family, tmp_path / "smaller"))
        assert new["vocab_size"] < old["vocab_size"]
    assert all(answer for answer in answers(english[6:])[1])  # words that come apart are answered too


def test_adapters_to_word_embeddings_are_cut_to_a_rank(family, english, monkeypatch, tmp_path):
    monkeypatch.setattr(prune, "training_texts", lambda: english)
    before = answers(english)
    close = []
    for rank in (3, 4):  # of 4
        monkeypatch.setattr(hub, "CHECKPOINTS", family)
        out = tmp_path / str(rank)
        flags = ["--least-uses", "1", "--embedding-rank", str(rank), "--output", str(out)]
        assert prune.main(["--checkpoints", str(family), *flags]) == 0
        monkeypatch.setattr(hub, "CHECKPOINTS", out)
        after = answers(english)
        assert near(after[0], before[0])  # an encoder of its own
        close.append(near(after[1], before[1]))
    assert close == [False, True]
    weights = load_file(tmp_path / "3" / "classify-bert" / "adapter_model.safetensors")
    (a,) = [value for name, value in weights.items() if name.endswith("lora_embedding_A")]
    assert len(a) == 3


def test_a_cut_is_the_nearest_of_its_rank():
    torch.manual_seed(5)
    a, b = torch.randn(6, 40), torch.randn(16, 6)
    weights = {"x.word_embeddings.lora_embedding_A": a, "x.word_embeddings.lora_embedding_B": b, "head": torch.ones(2)}
    assert not prune.lowered(dict(weights), 6) and prune.lowered(weights, 2)
    left, size, right = torch.linalg.svd(b @ a, full_matrices=False)
    found = weights["x.word_embeddings.lora_embedding_B"] @ weights["x.word_embeddings.lora_embedding_A"]
    torch.testing.assert_close(found, left[:, :2] * size[:2] @ right[:2], atol=1e-4, rtol=1e-4)


def test_wrong_use_is_one_line(family, tmp_path, capsys):
    assert prune.main(["--checkpoints", str(tmp_path), "--output", str(tmp_path / "x")]) == 2
    assert "has no BERT checkpoint" in capsys.readouterr().err
    words = transformers.BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5})
    words.save_pretrained(family / "classify-bert")
    assert prune.main(["--output", str(tmp_path / "x")]) == 2
    assert "not one vocabulary" in capsys.readouterr().err
