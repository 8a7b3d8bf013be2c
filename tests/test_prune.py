"""`scripts.prune`: a smaller vocabulary for an encoder and the adapters over it, and the same answers."""

import json
import re
import shutil

import pytest
import torch
import transformers
from pipe_tools import near
from safetensors.torch import load_file, save_file

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


def parameters(name: str) -> int:
    return pipeline("text-classification", model=hub.CHECKPOINTS / name, device="cpu").model.num_parameters()


def test_texts_of_the_pieces_that_stay_are_answered_as_before(family, english, monkeypatch, tmp_path, capsys):
    texts = english[:6]
    before = answers(texts)
    assert not near(before[0], before[1])  # so the adapters tell
    monkeypatch.setattr(prune, "training_texts", lambda: texts)
    card = "# A card\n\n- Start: here. {:,} parameters, stored.\n\n## Licences of the data\n\nNone.\n"
    for name in ("sentiment-bert", "classify-bert"):
        (family / name / "README.md").write_text(card.format(parameters(name)))
    assert prune.main(["--least-uses", "1", "--output", str(tmp_path / "smaller")]) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["classify-bert", "sentiment-bert"]
    assert "pieces stay" in err
    monkeypatch.setattr(hub, "CHECKPOINTS", tmp_path / "smaller")
    assert near(answers(texts), before)
    for name in ("sentiment-bert", "classify-bert"):
        start = f"# A card\n\n- Start: here. {parameters(name):,} parameters, stored.\n"
        end = r"- Then .* stay\.\n\n## Licences of the data\n\nNone\.\n"
        assert re.fullmatch(re.escape(start) + end, (hub.CHECKPOINTS / name / "README.md").read_text())
    for name in ("sentiment-bert", "classify-bert"):
        old, new = (json.loads((place / name / "config.json").read_text()) for place in (family, tmp_path / "smaller"))
        assert new["vocab_size"] < old["vocab_size"]
    assert all(answer for answer in answers(english[6:])[1])  # words that come apart are answered too


def test_adapters_to_word_embeddings_are_cut_to_a_rank(family, english, monkeypatch, tmp_path):
    """Of rank 4 as stored, but of 2 in effect: cut to 2 they answer as before, cut to 1 they don't."""
    file = family / "classify-bert" / "adapter_model.safetensors"
    weights = load_file(file)
    (name,) = [name for name in weights if name.endswith("lora_embedding_A")]
    weights[name][2:] = weights[name][:2].flip(0)
    save_file(weights, file, metadata={"format": "pt"})
    card = "# A card\n\n- Start: here.\n\n## Licences of the data\n"
    (family / "classify-bert" / "README.md").write_text(card)
    monkeypatch.setattr(prune, "training_texts", lambda: english)
    before = answers(english)
    close = []
    for rank in (1, 2):
        monkeypatch.setattr(hub, "CHECKPOINTS", family)
        out = tmp_path / str(rank)
        flags = ["--least-uses", "1", "--embedding-rank", str(rank), "--output", str(out)]
        assert prune.main(["--checkpoints", str(family), *flags]) == 0
        monkeypatch.setattr(hub, "CHECKPOINTS", out)
        after = answers(english)
        assert near(after[0], before[0])  # an encoder of its own
        close.append(near(after[1], before[1]))
        assert len(load_file(out / "classify-bert" / file.name)[name]) == rank
        said = f"- What it changes of word embeddings was cut to rank {rank}.\n"
        assert said in (out / "classify-bert" / "README.md").read_text()
    assert close == [False, True]


def test_a_rank_that_cuts_nothing_is_not_told(family, english, monkeypatch, tmp_path):
    card = family / "classify-bert" / "README.md"
    card.write_text("# A card\n\n## Licences of the data\n")
    monkeypatch.setattr(prune, "training_texts", lambda: english)
    assert prune.main(["--embedding-rank", "4", "--output", str(tmp_path / "x")]) == 0
    told = (tmp_path / "x" / "classify-bert" / "README.md").read_text()
    assert "pieces" in told and "rank" not in told


def test_texts_are_those_that_bert_arms_are_trained_on(tmp_path, monkeypatch):
    """Of each task of a BERT, of each source of its recipe, the train split alone, each text once."""
    rows = {
        "stanfordnlp/sst2": {"sentence": "a film", "label": 1},
        "fancyzhx/ag_news": {"text": "a piece of news", "label": 0},
        "clinc/clinc_oos": {"text": "wake me", "intent": "alarm"},
        "takala/financial_phrasebank": {"sentence": "profit rose", "label": 2},
        "zeroshot/twitter-financial-news-sentiment": {"text": "$X fell", "label": 0},
        "eriktks/conll2003": {"tokens": ["Ann", "left"], "ner_tags": ["B-PER", "O"]},
        "rajpurkar/squad": {"question": "who?", "context": "Ann left", "answers": "Ann"},
        "ludwigschmidt/squadshifts": {"question": "why?", "context": "So.", "answers": "So"},
        "sentence-transformers/stsb": {"sentence1": "one", "sentence2": "two", "score": 0.5},
    }
    for source, row in rows.items():
        folder = tmp_path / source
        folder.mkdir(parents=True)
        (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
        (folder / "validation.jsonl").write_text(json.dumps({}) + "\n")
    monkeypatch.setenv("DUET_DATA", str(tmp_path))
    assert prune.training_texts() == sorted([
        "a film", "a piece of news", "wake me", "profit rose", "$X fell", "Ann left", "who?", "why?", "So.", "one",
        "two",
    ])  # fmt: skip


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
