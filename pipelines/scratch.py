"""New tokenizers and new models, for training from random weights (or from another model's static embeddings)."""

import io
import json
import random
from collections import Counter

import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import AutoConfig, BertTokenizer, GPT2Tokenizer, PreTrainedModel, PreTrainedTokenizerBase, T5Tokenizer

import pipelines
from pipelines.errors import UserError, unknown

CAUSAL = ("text_generation", "chat")  # kinds that a language model answers


def sentencepiece_tokenizer(texts, size: int, prefix: str = "") -> T5Tokenizer:
    """A T5 tokenizer over a unigram vocabulary of at most `size` pieces trained on `texts` (an iterable of str).

    `prefix`, the task's instruction, becomes one token. The same texts give the same vocabulary: one thread, and
    every text is read in order.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=file,
        vocab_size=size,
        hard_vocab_limit=False,  # a small corpus may not have as many pieces
        character_coverage=0.9998,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto.FromString(file.getvalue())
    tokenizer = T5Tokenizer(
        vocab=[(piece.piece, piece.score) for piece in model.pieces],
        _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap,
        extra_ids=0,
    )
    if prefix:
        tokenizer.add_tokens([prefix.strip()])
    return tokenizer


def wordpiece_tokenizer(texts, size: int) -> BertTokenizer:
    """A lower-casing BERT tokenizer over a WordPiece vocabulary of at most `size` pieces trained on `texts`.

    The same texts give the same vocabulary. The trainer alone would not: it numbers the pieces "##x" in the order of
    a hash map, another in each process, and breaks ties by number. So they go in first, in their own order.
    """
    texts, tokenizer = list(texts), BertTokenizer()
    backend = tokenizer.backend_tokenizer
    words = (
        word
        for text in texts
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))
    )
    inner = sorted({"##" + character for word in words for character in word[1:]})
    first = sorted(tokenizer.all_special_tokens, key=tokenizer.convert_tokens_to_ids) + inner
    trainer = WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=backend.get_vocab(with_added_tokens=False))


def byte_tokenizer(texts, size: int, sample: int = 8_000_000) -> GPT2Tokenizer:
    """A GPT-2 tokenizer, byte-level BPE, over a vocabulary of `size` trained on `sample` bytes of `texts`, drawn with a
    seed. It loses nothing: every text comes back byte for byte. <|endoftext|> begins and ends texts and pads.

    The same texts give the same vocabulary: merges of equal count are taken by the numbers of their parts, and those
    of the first 256, the bytes, are fixed.
    """
    texts, kept, left = list(texts), [], sample
    for i in random.Random(13).sample(range(len(texts)), len(texts)):
        if left <= 0:
            break
        kept.append(texts[i])
        left -= len(texts[i].encode())
    blank = GPT2Tokenizer()
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=[blank.eos_token],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    blank.backend_tokenizer.train_from_iterator(kept, trainer)
    made = json.loads(blank.backend_tokenizer.to_str())["model"]
    return GPT2Tokenizer(
        vocab=made["vocab"],
        merges=[tuple(pair) for pair in made["merges"]],
        pad_token=blank.eos_token,
        add_bos_token=True,
    )


def chat_tokenizer(texts, size: int) -> GPT2Tokenizer:
    """`byte_tokenizer` with the marks of conversations among its `size` tokens, and their template."""
    from pipelines.chat import MARKS, TEMPLATE

    tokenizer = byte_tokenizer(texts, size - len(MARKS))
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKS)})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def pruned_wordpiece(tokenizer: PreTrainedTokenizerBase, texts, least_uses: int = 1) -> tuple[BertTokenizer, list[int]]:
    """A BERT tokenizer that keeps only the pieces that `texts` use so often, and the old id of each piece kept.

    Single characters of Latin script, punctuation and currencies stay, so that a word whose piece is gone still comes
    apart into known pieces. Other scripts, of which an English encoder knows little more than the characters, do not.
    """
    uses = Counter(piece for ids in tokenizer(list(texts))["input_ids"] for piece in ids)
    special = set(tokenizer.all_special_ids)

    def stays(piece: str, old: int) -> bool:
        letters = piece.removeprefix("##")
        single = len(letters) == 1 and (letters < "\u0250" or "\u2000" <= letters < "\u20d0" or uses[old])
        return bool(single) or uses[old] >= least_uses or old in special

    kept = [item for item in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]) if stays(*item)]
    vocabulary = {piece: new for new, (piece, _) in enumerate(kept)}
    lower = tokenizer.backend_tokenizer.normalizer.lowercase
    return BertTokenizer(vocab=vocabulary, do_lower_case=lower), [old for _, old in kept]


def new_tokenizer(kind: str, texts, size: int, prefix: str = "") -> PreTrainedTokenizerBase:
    """The tokenizer both arms of a pairing share: sentencepiece where text is written, byte-level BPE where it is gone
    on with, WordPiece where it is read."""
    if writes(kind):
        return sentencepiece_tokenizer(texts, size, prefix)
    if kind == "chat":
        return chat_tokenizer(texts, size)
    if kind == "text_generation":
        return byte_tokenizer(texts, size)
    return wordpiece_tokenizer(texts, size)


def writes(kind: str) -> bool:
    """Whether models of this shape are encoder-decoders, which write their answers."""
    return pipelines.kind(kind).AUTO == "AutoModelForSeq2SeqLM"


def head_fields(kind: str, labels: tuple[str, ...]) -> dict:
    """The configuration fields that say what a new head answers: the labels, or what all models of the shape do."""
    return getattr(pipelines.kind(kind), "HEAD", None) or label_fields(labels)


def new_model(
    kind: str, family: str, tokenizer, sizes: dict, labels: tuple[str, ...] = (), embeddings: torch.Tensor | None = None
) -> PreTrainedModel:
    """A model with random weights. `sizes` are fields of the family's configuration.

    `embeddings` (V, E) replace the token embeddings, V being the tokenizer's length.
    Raises `UserError` for a size that the family's configuration does not have.
    """
    import pipelines.lstm  # registers the family

    given = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **head_fields(kind, labels),
    }
    if kind in CAUSAL:
        # as in GPT-2's own configuration: its padding is the token that begins texts, which is seldom padding
        given |= {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": None}
    known = [name for name in AutoConfig.for_model(family).to_dict() if not name.startswith("_") and name not in given]
    for name in sizes:
        if name not in known:
            raise unknown(f"size of a {family} model", name, known)
    try:
        config = AutoConfig.for_model(family, **given, **sizes)
        if writes(kind):
            config.decoder_start_token_id = tokenizer.pad_token_id
        model = getattr(transformers, pipelines.kind(kind).AUTO).from_config(config)
        if kind in CAUSAL:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
        if kind == "chat":
            ends = [tokenizer.convert_tokens_to_ids("<|end|>"), tokenizer.eos_token_id]
            model.generation_config.eos_token_id = ends
    except Exception as error:  # configurations and layers each have their own way to refuse a value
        raise UserError(f"no {family} model has the sizes {sizes}: {' '.join(str(error).split())}") from error
    if embeddings is not None:
        table = model.get_input_embeddings().weight
        if table.shape != embeddings.shape:
            raise UserError(
                f"static embeddings are {tuple(embeddings.shape)}, the model's {tuple(table.shape)}: "
                f"set its width (d_model) to {embeddings.shape[1]}"
            )
        table.data.copy_(embeddings)
    return model


def label_fields(labels: tuple[str, ...]) -> dict:
    """The configuration fields that name a classifier's labels."""
    if not labels:
        return {}
    return {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}


def static_embeddings(
    folder: str, revision: str | None, texts, width: int | None = None, least_uses: int = 1
) -> tuple[BertTokenizer, torch.Tensor]:
    """A pruned tokenizer and the matching rows (V, E) of another encoder's input embeddings, as GloVe served once.

    A `width` below the encoder's takes their first principal directions, (V, width): the least loss in squares.
    """
    options = {"revision": revision, "trust_remote_code": False}
    theirs = transformers.AutoTokenizer.from_pretrained(folder, **options)
    tokenizer, kept = pruned_wordpiece(theirs, texts, least_uses)
    encoder = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)
    table = encoder.get_input_embeddings().weight.detach()[kept]
    if width and width < table.shape[1]:
        table = table @ torch.linalg.eigh(table.T @ table).eigenvectors[:, -width:].flip(1)
    return tokenizer, table.clone()
