"""Seven small text-to-text checkpoints, as the Hub keeps them: the same to the bit under any version of transformers.

Each takes over the files and settings of a well-known one (see `FOLDERS`), with two layers of 32 and seeded weights.
Imports nothing that needs transformers 5.
"""

import hashlib
import json
from pathlib import Path

from . import vocabularies
from .seeding import digest, fill

T5_TASKS = {
    "summarization": {
        "early_stopping": True,
        "length_penalty": 2.0,
        "max_length": 200,
        "min_length": 30,
        "no_repeat_ngram_size": 3,
        "num_beams": 4,
        "prefix": "summarize: ",
    }
} | {
    f"translation_en_to_{code}": {
        "early_stopping": True,
        "max_length": 300,
        "num_beams": 4,
        "prefix": f"translate English to {name}: ",
    }
    for code, name in (("de", "German"), ("fr", "French"), ("ro", "Romanian"))
}
T5 = {
    "architectures": ["T5ForConditionalGeneration"],
    "d_ff": 64,
    "d_kv": 8,
    "d_model": 32,
    "decoder_start_token_id": 0,
    "eos_token_id": 1,
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_heads": 4,
    "num_layers": 2,
    "pad_token_id": 0,
    "relative_attention_num_buckets": 32,
}
SIDES = {
    f"{side}_{name}": size
    for side in ("encoder", "decoder")
    for name, size in {"layers": 2, "ffn_dim": 64, "attention_heads": 4}.items()
}
BART = SIDES | {
    "activation_function": "gelu",
    "bos_token_id": 0,
    "d_model": 32,
    "eos_token_id": 2,
    "is_encoder_decoder": True,
    "max_position_embeddings": 1024,
    "pad_token_id": 1,
}
CNN = {  # what facebook/bart-large-cnn asks of `generate`
    "decoder_start_token_id": 2,
    "early_stopping": True,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
}


M2M_LANGUAGES = (  # noqa: SIM905
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
).split()


def t5_small(folder: Path, words: dict) -> range:
    """google-t5/t5-small: a prefix and settings for each task, embeddings tied, 28 rows that no token uses."""
    extra = [f"<extra_id_{i}>" for i in range(99, -1, -1)]
    size = len(words["t5"]) + 100 + 28
    own = {"feed_forward_proj": "relu", "n_positions": 512, "task_specific_params": T5_TASKS, "vocab_size": size}
    _write(folder, "config.json", T5 | own | {"output_past": True})
    _write(folder, "generation_config.json", _tokens(T5, "decoder_start", "eos", "pad") | {"_from_model_config": True})
    (folder / "tokenizer.json").write_text(vocabularies.t5_json(words["t5"], extra), encoding="utf-8")
    _write(folder, "tokenizer_config.json", _t5_tokens() | {"tokenizer_class": "T5Tokenizer"})
    return range(3, len(words["t5"]))


def flan(folder: Path, words: dict) -> range:
    """google/flan-t5-small: no task settings, gated layers, an output layer of its own; only a spiece.model."""
    own = {"feed_forward_proj": "gated-gelu", "n_positions": 512, "tie_word_embeddings": False}
    _write(folder, "config.json", T5 | own | {"vocab_size": len(words["t5"]) + 100})
    _write(folder, "generation_config.json", _tokens(T5, "decoder_start", "eos", "pad"))
    ids = {"pad": 0, "eos": 1, "unk": 2, "bos": -1}
    (folder / "spiece.model").write_bytes(vocabularies.spiece(words["t5"], ids))
    _write(folder, "tokenizer_config.json", _t5_tokens())
    return range(3, len(words["t5"]))


def _t5_tokens() -> dict:
    named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return named | {"additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)], "model_max_length": 512}


def marian(folder: Path, words: dict) -> range:
    """Helsinki-NLP/opus-mt-en-fr, or a kin that takes >>fra<<: settings of `generate` in both files."""
    pieces = [piece for piece, _ in words["source"][3:] + words["target"][3:]]
    pieces = list(dict.fromkeys(["</s>", "<unk>", ">>fra<<", ">>ron<<", *pieces, "<pad>"]))
    pad = len(pieces) - 1
    _write(folder, "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    for side in ("source", "target"):
        (folder / f"{side}.spm").write_bytes(vocabularies.spiece(words[side], {}))
    _write(folder, "tokenizer_config.json", {"source_lang": "eng", "target_lang": "fra"})
    asks = {"bad_words_ids": [[pad]], "bos_token_id": 0, "decoder_start_token_id": pad, "eos_token_id": 0}
    asks |= {"forced_eos_token_id": 0, "max_length": 512, "num_beams": 4, "pad_token_id": pad}
    own = {"activation_function": "swish", "architectures": ["MarianMTModel"], "model_type": "marian"}
    own |= {"max_position_embeddings": 512, "scale_embedding": True, "static_position_embeddings": True}
    own |= {"vocab_size": len(pieces), "decoder_vocab_size": len(pieces), "share_encoder_decoder_embeddings": True}
    _write(folder, "config.json", SIDES | {"d_model": 32, "is_encoder_decoder": True} | own | asks)
    _write(folder, "generation_config.json", asks | {"renormalize_logits": True})
    return range(4, pad)


def bart_cnn(folder: Path, words: dict) -> range:
    """facebook/bart-large-cnn: a prefix of one blank, 56 to 142 tokens, the same settings in three places."""
    asks = {name: CNN[name] for name in CNN if not name.startswith("forced") and name != "decoder_start_token_id"}
    own = {"architectures": ["BartForConditionalGeneration"], "model_type": "bart", "prefix": " "}
    vocabulary = _bytes(folder, words)
    own |= {"task_specific_params": {"summarization": asks}, "vocab_size": len(vocabulary)}
    _write(folder, "config.json", BART | CNN | own)
    _write(folder, "generation_config.json", CNN | _tokens(BART, "bos", "eos", "pad"))
    return _merged(vocabulary)


def bart_base(folder: Path, words: dict) -> range:
    """facebook/bart-base and what was tuned from it: no generation_config.json, no length for most tasks."""
    tasks = {
        "summarization": {"length_penalty": 1.0, "max_length": 128, "min_length": 12, "num_beams": 4, "note": "ours"},
        "summarization_xsum": {"length_penalty": 1.0, "max_length": 62, "min_length": 11, "num_beams": 6},
    }
    own = {"architectures": ["BartForConditionalGeneration"], "model_type": "bart", "task_specific_params": tasks}
    asks = {"decoder_start_token_id": 2, "forced_eos_token_id": 2, "no_repeat_ngram_size": 3, "early_stopping": True}
    vocabulary = _bytes(folder, words)
    _write(folder, "config.json", BART | own | asks | {"num_beams": 4, "vocab_size": len(vocabulary)})
    return _merged(vocabulary)


def _bytes(folder: Path, words: dict) -> dict[str, int]:
    vocabulary = vocabularies.bpe_vocabulary(words["bytes"])
    _write(folder, "vocab.json", vocabulary)
    merges = "\n".join(" ".join(pair) for pair in words["bytes"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    _write(folder, "tokenizer_config.json", {"model_max_length": 1024})
    return vocabulary


def _merged(vocabulary: dict[str, int]) -> range:
    """All but single bytes, since most of these are no character by themselves."""
    return range(4 + 256, len(vocabulary) - 1)


def mbart(folder: Path, words: dict) -> range:
    """facebook/mbart-large-en-ro: 25 languages behind the vocabulary, one of them to start with."""
    size = len(words["fairseq"]) + 1 + 25 + 1
    romanian = len(words["fairseq"]) + 1 + 19
    own = {"add_final_layer_norm": True, "architectures": ["MBartForConditionalGeneration"], "model_type": "mbart"}
    own |= {"decoder_start_token_id": romanian, "normalize_before": True, "scale_embedding": True, "vocab_size": size}
    tasks = {"translation_en_to_ro": {"decoder_start_token_id": romanian}}
    _write(folder, "config.json", BART | own | {"num_beams": 5, "task_specific_params": tasks})
    _fairseq(folder, words["fairseq"], 1)
    _write(folder, "tokenizer_config.json", {"model_max_length": 1024, "src_lang": "en_XX", "tgt_lang": "ro_RO"})
    return range(4, len(words["fairseq"]) + 1)


def m2m(folder: Path, words: dict) -> range:
    """facebook/m2m100_418M: a hundred languages, up to 200 tokens in five beams."""
    pieces = [*vocabularies.BPE_SPECIAL, *(piece for piece, _ in words["bpe"][3:])]
    _write(folder, "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    _fairseq(folder, words["bpe"], 2)
    _write(folder, "tokenizer_config.json", {"model_max_length": 1024, "src_lang": "en", "tgt_lang": "fr"})
    _write(folder, "special_tokens_map.json", {"additional_special_tokens": [f"__{code}__" for code in M2M_LANGUAGES]})
    own = {"activation_function": "relu", "architectures": ["M2M100ForConditionalGeneration"], "model_type": "m2m_100"}
    asks = {"decoder_start_token_id": 2, "early_stopping": True, "max_length": 200, "num_beams": 5}
    _write(folder, "config.json", BART | own | asks | {"scale_embedding": True, "vocab_size": len(pieces) + 100 + 8})
    _write(folder, "generation_config.json", asks | _tokens(BART, "bos", "eos", "pad"))
    return range(4, len(pieces))


def _fairseq(folder: Path, pieces: list[list], kind: int) -> None:
    content = vocabularies.spiece(pieces, {"unk": 0, "bos": 1, "eos": 2, "pad": -1}, kind)
    (folder / "sentencepiece.bpe.model").write_bytes(content)


def _tokens(config: dict, *names: str) -> dict:
    return {f"{name}_token_id": config[f"{name}_token_id"] for name in names}


def _write(folder: Path, name: str, content: dict) -> None:
    (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


QUIET = 0.3  # of the scores of tokens that are no text
# name → (what writes its files and says which tokens are text; seed and spread of the weights; scales of what
# attention adds, of the embeddings, of the end's among them). Found by trial: with these, answers differ from text to
# text, stammer little, mostly end, and stay what they are where the weights move a little.
FOLDERS = {
    "t5": (t5_small, 5, 0.3, 1.0, 0.2, 2.2),
    "flan": (flan, 8, 0.5, 1.0, 1.0, 2.2),
    "marian": (marian, 1, 0.5, 0.1, 0.2, 2.2),
    "bart-cnn": (bart_cnn, 4, 0.5, 0.1, 0.2, 1.5),
    "bart-base": (bart_base, 1, 0.5, 0.1, 0.6, 2.2),
    "mbart": (mbart, 6, 0.5, 1.0, 1.0, 2.2),
    "m2m": (m2m, 1, 0.8, 0.05, 0.15, 2.2),
}


def build(name: str, parent: Path) -> Path:
    """Writes the checkpoint `name` into a folder of `parent`, which it returns."""
    import torch
    import transformers
    from safetensors.torch import save_file

    write, seed, spread, attention, words, ending = FOLDERS[name]
    folder = parent / name
    folder.mkdir(parents=True)
    texts = write(folder, vocabularies.load())
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0])(config)
    if json.loads((folder / "config.json").read_text()).get("tie_word_embeddings") is False:
        # transformers 5 ties T5's until it finds two tables in a file
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    fill(model, seed, spread)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith((".out_proj.weight", ".o.weight")):
                parameter *= attention
            elif key.endswith(".q.weight"):
                parameter *= config.d_kv**-0.5  # T5 has this in its weights
        rows = model.get_output_embeddings().weight  # (V, D)
        scale = torch.full((len(rows), 1), QUIET * words)
        scale[texts.start : texts.stop], scale[config.eos_token_id] = words, ending * words
        rows *= scale
    # every name of a tied weight, as the Hub's files have them; each version finds those that it asks for
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def fingerprint(pipe, texts: list[str]) -> dict[str, str]:
    """Hashes of a pipeline's weights, and of the tokens that its tokenizer makes of the texts."""
    seen = json.dumps([pipe.tokenizer(texts, verbose=False)["input_ids"], pipe.tokenizer.model_max_length])
    return {"weights": digest(pipe.model), "tokens": hashlib.sha256(seen.encode()).hexdigest()[:16]}
