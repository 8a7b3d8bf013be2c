"""New tokenizers and new models: the same texts give the same vocabulary, and no character of a text is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from conftest import ENGLISH, FRENCH, LABELS
from transformers import AutoTokenizer

from pipelines import scratch
from pipelines.errors import UserError

PREFIX = "translate English to French: "
UNSEEN = ["Zwölf quirky jackdaws, vexed: fjord & bog!", "UNSEEN antidisestablishmentarianism 1984", "naïveté"]


def vocabulary(tokenizer) -> list[str]:
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)


@pytest.fixture(scope="module")
def words():
    return scratch.wordpiece_tokenizer(ENGLISH, 300)


@pytest.fixture(scope="module")
def pieces():
    return scratch.sentencepiece_tokenizer(ENGLISH + FRENCH, 200, PREFIX)


@pytest.fixture(scope="module")
def spelling():
    return scratch.byte_tokenizer(ENGLISH + FRENCH, 400)


def test_another_process_makes_the_same_vocabularies(words, pieces, spelling):
    code = """
        from conftest import ENGLISH, FRENCH
        from pipelines import scratch
        for made in (scratch.wordpiece_tokenizer(ENGLISH, 300),
                     scratch.sentencepiece_tokenizer(ENGLISH + FRENCH, 200, "translate English to French: "),
                     scratch.byte_tokenizer(ENGLISH + FRENCH, 400)):
            print(sorted(made.get_vocab().items()))
    """
    import textwrap

    here = Path(__file__).parent
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (here.parent, here)))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines == [str(sorted(made.get_vocab().items())) for made in (words, pieces, spelling)]


def test_sentencepiece_keeps_accents_punctuation_and_case(pieces):
    assert 100 < len(pieces) <= 201
    for text in ENGLISH + FRENCH:
        ids = pieces(text)["input_ids"]
        assert ids[-1] == pieces.eos_token_id and pieces.unk_token_id not in ids
        assert pieces.decode(ids, skip_special_tokens=True) == text


def test_the_prefix_is_one_token(pieces):
    for text in ENGLISH:
        assert pieces(PREFIX + text)["input_ids"] == [len(pieces) - 1, *pieces(text)["input_ids"]]
    assert pieces.convert_ids_to_tokens(len(pieces) - 1) == PREFIX.strip()
    plain = scratch.sentencepiece_tokenizer(ENGLISH + FRENCH, 200)
    assert vocabulary(plain) == vocabulary(pieces)[:-1]


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_a_saved_tokenizer_comes_back_the_same(name, tmp_path, request):
    made = request.getfixturevalue(name)
    made.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    assert type(read) is type(made)
    for text in ENGLISH + FRENCH + UNSEEN + [PREFIX + ENGLISH[0]]:
        assert read(text)["input_ids"] == made(text)["input_ids"]
    assert (read.pad_token_id, read.eos_token_id, read.unk_token_id) == (
        made.pad_token_id, made.eos_token_id, made.unk_token_id,
    )  # fmt: skip


def test_wordpiece_is_a_whole_vocabulary_of_the_texts(words):
    there = vocabulary(words)
    assert len(there) <= 300 and there[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert sorted(words.all_special_tokens) == sorted(there[:5])  # and nothing else is special
    assert "##s" in there and "the" in there
    for text in ENGLISH:
        ids = words(text)["input_ids"]
        assert words.unk_token_id not in ids
        assert (ids[0], ids[-1]) == (words.cls_token_id, words.sep_token_id)
        letters = [c for c in text.lower() if not c.isspace()]
        assert [c for c in words.decode(ids, skip_special_tokens=True) if not c.isspace()] == letters


def test_new_tokenizer_writes_with_sentencepiece_and_reads_with_wordpiece():
    written = scratch.new_tokenizer("text2text", iter(ENGLISH), 100, PREFIX)
    read = scratch.new_tokenizer("text_classification", iter(ENGLISH), 100)
    assert type(written).__name__ == "T5Tokenizer" and PREFIX.strip() in written.get_vocab()
    assert type(read).__name__ == "BertTokenizer"


# --- pruning ---


def test_a_pruned_tokenizer_reads_its_texts_as_the_whole_one_did(words):
    texts = ENGLISH[::2]
    pruned, kept = scratch.pruned_wordpiece(words, texts)
    assert len(pruned) == len(kept) < len(words)
    assert vocabulary(pruned) == [vocabulary(words)[old] for old in kept]
    for text in texts:
        assert [kept[new] for new in pruned(text)["input_ids"]] == words(text)["input_ids"]
    batch = pruned(texts, padding=True)  # ragged: the padding is the old padding
    assert [[kept[new] for new in row] for row in batch["input_ids"]] == words(texts, padding=True)["input_ids"]


def test_a_pruned_tokenizer_still_takes_unseen_words_apart(words):
    pruned, _ = scratch.pruned_wordpiece(words, ENGLISH[:2])
    longer = 0
    for text in ENGLISH + UNSEEN:
        whole, less = words(text)["input_ids"], pruned(text)["input_ids"]
        assert less.count(pruned.unk_token_id) == whole.count(words.unk_token_id), text
        longer += len(less) > len(whole)
    assert longer > 5  # so there were words to take apart


def test_rare_pieces_are_left_out_too_where_asked(words):
    texts = [*ENGLISH[:3], *ENGLISH[:3], ENGLISH[3]]
    often, kept = scratch.pruned_wordpiece(words, texts, least_uses=2)
    once, _ = scratch.pruned_wordpiece(words, texts)
    assert set(vocabulary(often)) < set(vocabulary(once)) and len(kept) == len(often)
    for text in ENGLISH[:3]:
        assert [kept[new] for new in often(text)["input_ids"]] == words(text)["input_ids"]


def test_characters_of_other_scripts_stay_only_where_they_are_used(words):
    letters = ["a", "é", "ß", "„", "€", "я", "ж", "水"]
    tokenizer = transformers.BertTokenizer(
        vocab={piece: i for i, piece in enumerate([*words.all_special_tokens, *letters, *(f"##{c}" for c in letters)])}
    )
    pruned, _ = scratch.pruned_wordpiece(tokenizer, ["я € a"], least_uses=2)
    single = {piece for piece in pruned.get_vocab() if piece in letters}
    assert single == {"a", "é", "ß", "„", "€", "я"}
    assert "##я" not in pruned.get_vocab() and "##é" in pruned.get_vocab()


def test_static_embeddings_are_the_rows_of_the_pieces_kept(tiny_bert, word_tokenizer):
    tokenizer, table = scratch.static_embeddings(str(tiny_bert), None, ENGLISH[:3])
    from safetensors.torch import load_file

    whole = load_file(tiny_bert / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert table.shape == (len(tokenizer), whole.shape[1]) and len(tokenizer) < len(word_tokenizer)
    for piece, row in tokenizer.get_vocab().items():
        assert torch.equal(table[row], whole[word_tokenizer.get_vocab()[piece]])
    model = scratch.new_model("text_classification", "lstm", tokenizer, {"d_model": 32}, LABELS, table)
    assert torch.equal(model.get_input_embeddings().weight, table)
    with pytest.raises(UserError, match="set its width .* to 32"):
        scratch.new_model("text_classification", "lstm", tokenizer, {"d_model": 16}, LABELS, table)


def test_code_of_another_encoder_is_never_run(tiny_bert, monkeypatch):
    asked = []
    for loader in (transformers.AutoTokenizer, transformers.AutoModel):
        read = loader.from_pretrained
        monkeypatch.setattr(loader, "from_pretrained", lambda *a, _read=read, **k: asked.append(k) or _read(*a, **k))
    scratch.static_embeddings(str(tiny_bert), None, ENGLISH[:3])
    assert [options["trust_remote_code"] for options in asked] == [False, False]


# --- new models ---


@pytest.mark.parametrize(
    ("kind", "family"), [("text2text", "t5"), ("text2text", "lstm"), ("text_classification", "bert")]
)
def test_a_new_model_knows_its_tokenizer(kind, family, pieces):
    sizes = {"hidden_size": 24, "num_attention_heads": 2} if family == "bert" else {"d_model": 24}
    model = scratch.new_model(kind, family, pieces, sizes, LABELS if family == "bert" else ())
    assert model.get_input_embeddings().weight.shape == (len(pieces), 24)
    assert (model.config.pad_token_id, model.config.eos_token_id) == (pieces.pad_token_id, pieces.eos_token_id)
    if kind == "text2text":
        assert model.config.decoder_start_token_id == pieces.pad_token_id
    else:
        assert model.config.label2id == {"negative": 0, "positive": 1}


def test_the_seed_decides_the_weights(pieces):
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(scratch.new_model("text2text", "lstm", pieces, {"d_model": 8, "hidden_size": 8}).state_dict())
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
    assert any(not torch.equal(tensor, made[2][name]) for name, tensor in made[0].items())


@pytest.mark.parametrize(
    ("family", "sizes", "says"),
    [
        ("lstm", {"hiden_size": 3}, "Did you mean 'hidden_size'?"),
        ("lstm", {"vocab_size": 3}, "unknown size of a lstm model 'vocab_size'"),
        ("lstm", {"hidden_size": 3}, "hidden_size must be even"),
        ("lstm", {"attention": "most"}, "attention must be one of none, additive, dot"),
        ("bert", {"hidden_size": "wide"}, "expected int, got str"),
        ("bert", {"hidden_size": 10}, "not a multiple of the number of attention heads"),
    ],
)
def test_a_size_that_no_model_has_is_told(pieces, family, sizes, says):
    with pytest.raises(UserError) as error:
        scratch.new_model("text_classification", family, pieces, sizes, LABELS)
    assert says in str(error.value) and "\n" not in str(error.value)
