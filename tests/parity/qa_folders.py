"""Seven small checkpoints for question answering, as the Hub keeps them, the same to the bit under any transformers.

Real configuration classes, weights by `seeding.fill`, tokenizers trained on the cases' own texts. The vocabularies lie
beside this file, since another version of `tokenizers` might train others: `python -m tests.parity.qa_folders` makes
them anew. Imports nothing that needs transformers 5.
"""

import hashlib
import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .seeding import digest, fill

VOCABULARIES = Path(__file__).with_name("qa_vocabularies.json")
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ALBERT = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
# name → (model type, vocabulary, sizes, tokens of a window, what else tokenizer_config.json says)
FOLDERS = {
    "bert": ("Bert", "uncased", SMALL | {"max_position_embeddings": 512}, 512, {"do_lower_case": True}),
    "bert-cased": ("Bert", "cased", SMALL | {"max_position_embeddings": 128}, 128, {"do_lower_case": False}),
    "bert-left": (  # padded on the left, and so given the context first
        "Bert", "uncased", SMALL | {"max_position_embeddings": 96}, 96, {"do_lower_case": True, "padding_side": "left"},
    ),
    "distilbert": (
        "DistilBert", "uncased",
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256}, 256,
        {"do_lower_case": True},
    ),
    "roberta": ("Roberta", "bytes", SMALL | {"max_position_embeddings": 130, "type_vocab_size": 1}, 128, {}),
    "albert": (
        "Albert", "pieces", SMALL | {"embedding_size": 16, "max_position_embeddings": 160}, 160,
        {"do_lower_case": True},
    ),
    "electra": (
        "Electra", "uncased", SMALL | {"embedding_size": 16, "max_position_embeddings": 96}, 96,
        {"do_lower_case": True},
    ),
}  # fmt: skip


# whose tokenizer_config.json is as transformers saves it; the others' says as little as the Hub's first ones
SAVED = ("albert", "bert-left", "electra")


def build(name: str, parent: Path) -> Path:
    """Writes the checkpoint `name` into a folder of `parent`, which it returns."""
    import transformers

    kind, vocabulary, sizes, longest, settings = FOLDERS[name]
    folder = parent / name
    folder.mkdir(parents=True)
    backend, special = MAKERS[vocabulary](json.loads(VOCABULARIES.read_text(encoding="utf-8"))[vocabulary])
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    backend.save(str(folder / "tokenizer.json"))
    order = ("cls", "pad", "sep", "unk", "mask") if vocabulary == "bytes" else ("pad", "unk", "cls", "sep", "mask")
    named = {f"{what}_token": token for what, token in zip(order, special, strict=True)}
    settings = {"model_max_length": longest} | settings
    if name in SAVED:
        settings |= {"tokenizer_class": f"{kind}Tokenizer"} | named
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    ids = {"pad_token_id": backend.token_to_id(named["pad_token"])}
    if vocabulary == "bytes":
        ids |= {"bos_token_id": 0, "eos_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(vocab_size=backend.get_vocab_size(), **ids, **sizes)
    model = getattr(transformers, f"{kind}ForQuestionAnswering")(config)
    fill(model, seed=3, spread=0.35).save_pretrained(folder)
    return folder


def fingerprint(pipe, texts: list[str]) -> dict[str, str]:
    """Hashes of a pipeline's weights, and of what its tokenizer makes of the texts: tokens, their places and words."""
    encoded = pipe.tokenizer(texts, texts[::-1], verbose=False).encodings
    seen = [[one.ids, one.type_ids, one.offsets, one.word_ids] for one in encoded]
    seen += [pipe.tokenizer.padding_side, pipe.tokenizer.model_max_length]
    tokens = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]
    return {"weights": digest(pipe.model), "tokens": tokens}


# --- tokenizers ---


def _wordpiece(vocabulary: list[str], lower: bool) -> tuple[Tokenizer, tuple[str, ...]]:
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = _pairs(backend)
    return backend, BERT


def _bytes(saved: dict) -> tuple[Tokenizer, tuple[str, ...]]:
    merges = [tuple(pair) for pair in saved["merges"]]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(saved["vocabulary"])}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return backend, ROBERTA


def _pieces(vocabulary: list[list]) -> tuple[Tokenizer, tuple[str, ...]]:
    backend = Tokenizer(models.Unigram([tuple(pair) for pair in vocabulary], 1))
    quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    backend.normalizer = normalizers.Sequence(
        [*quotes, normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    backend.decoder = decoders.Metaspace()
    backend.post_processor = _pairs(backend)
    return backend, ALBERT


def _pairs(backend: Tokenizer):
    special = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    return processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair=pair, special_tokens=special)


MAKERS = {
    "uncased": lambda vocabulary: _wordpiece(vocabulary, True),
    "cased": lambda vocabulary: _wordpiece(vocabulary, False),
    "bytes": _bytes,
    "pieces": _pieces,
}


def train(texts: list[str]) -> dict:
    """The vocabularies of all folders, from these texts."""
    from tokenizers import trainers

    def pieces(backend: Tokenizer) -> list[str]:
        return sorted(backend.get_vocab(), key=backend.get_vocab().get)

    found: dict = {}
    for name, size in (("uncased", 420), ("cased", 480)):
        backend, special = MAKERS[name](list(BERT))
        backend.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special)))
        found[name] = pieces(backend)
    backend, special = _bytes({"vocabulary": list(ROBERTA), "merges": []})
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=list(special), initial_alphabet=alphabet)
    backend.train_from_iterator(texts, trainer)
    merges = json.loads(backend.to_str())["model"]["merges"]
    found["bytes"] = {"vocabulary": pieces(backend), "merges": merges}
    backend, special = _pieces([[piece, 0.0] for piece in ALBERT])
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=list(special), unk_token="<unk>")
    backend.train_from_iterator(texts, trainer)
    found["pieces"] = json.loads(backend.to_str())["model"]["vocab"]
    return found


if __name__ == "__main__":
    from .qa_cases import TEXTS

    VOCABULARIES.write_text(json.dumps(train(TEXTS), ensure_ascii=False) + "\n", encoding="utf-8")
