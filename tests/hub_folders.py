"""Folders in exactly the layout of well-known Hub repositories: the same files and keys, small random weights.

The vocabularies are trained here on a few sentences; nothing is downloaded.
"""

import io
import json
import re
from collections import Counter
from pathlib import Path

import sentencepiece
import torch
from parity.folders import T5_TASKS
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, DistilBertForSequenceClassification, MarianMTModel, T5ForConditionalGeneration


def write(path: Path, content) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


def spiece(texts: list[str], size: int, **ids) -> bytes:
    """A sentencepiece model as a file's content."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=file,
        vocab_size=size,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **ids,
    )
    return file.getvalue()


def weights(folder: Path, model_class, spread: float) -> dict:
    """Writes model.safetensors for the folder's config.json, by `save_pretrained` alone; the tensors it holds."""
    config = AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=spread)
    mine = folder / "mine"
    model.save_pretrained(mine)
    tensors = load_file(mine / "model.safetensors")
    for file in mine.iterdir():
        file.unlink()
    mine.rmdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return tensors


def t5(folder: Path, texts: list[str], layers: int = 2) -> Path:
    """google-t5/t5-small and, with more layers, -base: spiece.model and no tokenizer.json."""
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(spiece(texts, 220, pad_id=0, eos_id=1, unk_id=2, bos_id=-1))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model")).get_piece_size()
    extra = [f"<extra_id_{i}>" for i in range(100)]
    config = {
        "architectures": ["T5ForConditionalGeneration"],
        "d_ff": 64,
        "d_kv": 8,
        "d_model": 32,
        "decoder_start_token_id": 0,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-06,
        "model_type": "t5",
        "n_positions": 512,
        "num_heads": 4,
        "num_layers": layers,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_num_buckets": 32,
        "task_specific_params": T5_TASKS,
        "use_cache": True,
        "vocab_size": pieces + 100 + 28,  # 32128 for 32100 tokens: the Hub's table has 28 rows that no token uses
    }
    write(folder / "config.json", config)
    write(
        folder / "generation_config.json",
        {
            "_from_model_config": True,
            "decoder_start_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 0,
            "transformers_version": "4.27.0.dev0",
        },
    )
    write(
        folder / "tokenizer_config.json",
        {
            "additional_special_tokens": extra,
            "eos_token": "</s>",
            "extra_ids": 100,
            "model_max_length": 512,
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        },
    )
    tensors = weights(folder, T5ForConditionalGeneration, 0.3)
    # a left-over of the first conversion that the Hub's files still carry
    tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.zeros(32, 4)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def marian(folder: Path, english: list[str], french: list[str]) -> Path:
    """Helsinki-NLP/opus-mt-en-fr: two sentencepiece models, one vocab.json, generation settings in both configs."""
    folder.mkdir(parents=True)
    vocabulary: Counter = Counter()
    for name, texts in (("source.spm", english), ("target.spm", french)):
        content = spiece(texts, 150)  # with sentencepiece's own <unk>, <s>, </s>, as OPUS trained them
        (folder / name).write_bytes(content)
        model = sentencepiece.SentencePieceProcessor(model_proto=content)
        vocabulary.update(piece for text in texts for piece in model.encode(text, out_type=str))
    pieces = ["</s>", "<unk>", *(piece for piece, _ in vocabulary.most_common()), "<pad>"]
    pad = len(pieces) - 1
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    write(folder / "tokenizer_config.json", {"target_lang": "fra", "source_lang": "eng"})
    generation = {"bad_words_ids": [[pad]], "bos_token_id": 0, "decoder_start_token_id": pad, "eos_token_id": 0}
    generation |= {"forced_eos_token_id": 0, "max_length": 512, "num_beams": 4, "pad_token_id": pad}
    config = {
        "_num_labels": 3,
        "activation_dropout": 0.0,
        "activation_function": "swish",
        "add_bias_logits": False,
        "add_final_layer_norm": False,
        "architectures": ["MarianMTModel"],
        "attention_dropout": 0.0,
        "classif_dropout": 0.0,
        "classifier_dropout": 0.0,
        "d_model": 32,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 64,
        "decoder_layerdrop": 0.0,
        "decoder_layers": 2,
        "decoder_vocab_size": len(pieces),
        "dropout": 0.1,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "encoder_layerdrop": 0.0,
        "encoder_layers": 2,
        "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2},
        "max_position_embeddings": 512,
        "model_type": "marian",
        "normalize_before": False,
        "normalize_embedding": False,
        "num_hidden_layers": 2,
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": True,
        "static_position_embeddings": True,
        "transformers_version": "4.22.0.dev0",
        "use_cache": True,
        "vocab_size": len(pieces),
    }
    write(folder / "config.json", config | generation)
    write(
        folder / "generation_config.json",
        generation | {"renormalize_logits": True, "transformers_version": "4.32.0.dev0"},
    )
    weights(folder, MarianMTModel, 0.3)
    return folder


def distilbert(folder: Path, texts: list[str]) -> Path:
    """distilbert/distilbert-base-uncased-finetuned-sst-2-english: vocab.txt, labels NEGATIVE and POSITIVE."""
    folder.mkdir(parents=True)
    words = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    letters = sorted({letter for word in words for letter in word})
    pieces = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [*letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word, _ in words.most_common(60) if len(word) > 1]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    write(folder / "tokenizer_config.json", {"model_max_length": 512, "do_lower_case": True})
    config = {
        "activation": "gelu",
        "architectures": ["DistilBertForSequenceClassification"],
        "attention_dropout": 0.1,
        "dim": 32,
        "dropout": 0.1,
        "finetuning_task": "sst-2",
        "hidden_dim": 64,
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "initializer_range": 0.02,
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
        "max_position_embeddings": 512,
        "model_type": "distilbert",
        "n_heads": 4,
        "n_layers": 2,
        "output_past": True,
        "pad_token_id": 0,
        "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
        "vocab_size": len(pieces),
    }
    write(folder / "config.json", config)
    weights(folder, DistilBertForSequenceClassification, 0.3)
    return folder
