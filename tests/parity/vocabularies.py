"""The tokenizers of the small text-to-text checkpoints, in the files that the Hub has for them.

Their vocabularies were trained once (`python -m tests.parity.vocabularies`) and lie beside this file as text, because
another version of sentencepiece or tokenizers may train others. Imports nothing of transformers.
"""

import io
import json
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FILE = Path(__file__).with_name("vocabularies.json")
TYPES = {"<unk>": 2, "<s>": 3, "</s>": 3, "<pad>": 3}  # sentencepiece's numbers for unknown and control pieces
BPE_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def load() -> dict:
    """{"t5" | "source" | "target" | "fairseq" | "bpe": [[piece, score], …], "bytes": [[left, right], …]}"""
    return json.loads(FILE.read_text(encoding="utf-8"))


def spiece(pieces: list[list], ids: dict[str, int], kind: int = 1) -> bytes:
    """A sentencepiece model of these pieces as a file's content, with T5's normalizer; kind 1 is unigram, 2 BPE."""
    normalizer = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_model_proto()
    model = protobuf.ModelProto.FromString(normalizer)
    for piece, score in pieces:
        model.pieces.add(piece=piece, score=score, type=TYPES.get(piece, 1))
    model.trainer_spec.model_type = kind
    model.trainer_spec.vocab_size = len(pieces)
    for name, place in ids.items():
        setattr(model.trainer_spec, f"{name}_id", place)
    return model.SerializeToString()


def t5_json(pieces: list[list], extra: list[str]) -> str:
    """tokenizer.json as google-t5's: a unigram model behind the normalizer of its spiece.model."""
    backend = Tokenizer(models.Unigram([(piece, score) for piece, score in pieces] + [(e, 0.0) for e in extra], 2))
    normalizer = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_model_proto()
    charsmap = protobuf.ModelProto.FromString(normalizer).normalizer_spec.precompiled_charsmap
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(charsmap),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    backend.add_special_tokens(["<pad>", "</s>", "<unk>", *extra])
    return backend.to_str()


def bpe_vocabulary(merges: list[list[str]]) -> dict[str, int]:
    """vocab.json of a byte-level BPE: the special tokens, the bytes, what the merges make, the mask."""
    pieces = [*BPE_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges), "<mask>"]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def train() -> dict:
    """The vocabularies, from the texts of the cases."""
    from .text2text_texts import ENGLISH, FRENCH, TEXTS

    def pieces(texts, size, **settings):
        file = io.BytesIO()
        options = {"hard_vocab_limit": False, "num_threads": 1, "minloglevel": 2, "character_coverage": 1.0}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=file, vocab_size=size, **options | settings
        )
        found = protobuf.ModelProto.FromString(file.getvalue()).pieces
        return [[piece.piece, round(piece.score, 4)] for piece in found]

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=460, initial_alphabet=alphabet))
    prefixes = [f"translate English to {name}: summarize: " for name in ("German", "French", "Romanian")]
    return {
        "t5": pieces([*TEXTS, *prefixes * 4], 330, pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
        "source": pieces(ENGLISH * 3, 220),
        "target": pieces(FRENCH * 3, 220),
        "fairseq": pieces(TEXTS, 300),
        "bpe": pieces(TEXTS, 300, model_type="bpe"),
        "bytes": json.loads(backend.to_str())["model"]["merges"],
    }


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(found, ensure_ascii=False)}" for name, found in train().items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
