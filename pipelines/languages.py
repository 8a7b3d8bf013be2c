"""The languages of multilingual translators (mBART, NLLB, M2M-100), whose tokenizers mark each text with its own."""

from pathlib import Path

from pipelines.errors import UserError


def takes_languages(tokenizer) -> bool:
    """Whether texts are marked with their language before this tokenizer's model reads them."""
    return hasattr(tokenizer, "_build_translation_inputs")


def checked(tokenizer, task: str, source: str | None, target: str | None) -> dict[str, str]:
    """The languages to translate from and to, by the tokenizer's own codes; where not given, those in the task's name.

    Raises `UserError` for a code the tokenizer doesn't have: it would take any word for one, and the answer would be
    in no language in particular.
    """
    words = task.split("_")
    if len(words) == 4:  # translation_en_to_fr
        source, target = source or words[1], target or words[3]
    # mBART and M2M-100 have a table of them, for NLLB they are the special tokens beside <s> and its like
    codes = getattr(tokenizer, "lang_code_to_id", None) or tokenizer.all_special_tokens
    codes = sorted(code for code in codes if not code.startswith("<"))
    for name, language in (("src_lang", source), ("tgt_lang", target)):
        if language not in codes:
            near = [code for code in codes if language and code.startswith(language)] or codes[:5]
            given = "is not given" if language is None else f"can't be {language!r}"
            raise UserError(f"this model translates between {len(codes)} languages, and {name} {given}: try {near}.")
    return {"src_lang": source, "tgt_lang": target}


def normalize(tokenizer) -> None:
    """Gives the tokenizer the normalizer that its files state, where transformers 5 has left it out.

    That is so for mBART: a "…" or a letter with a combining accent would be unknown.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.normalizer is not None or not takes_languages(tokenizer):
        return
    if getattr(tokenizer, "vocab_file", None):
        from sentencepiece import sentencepiece_model_pb2
        from tokenizers import normalizers

        pieces = sentencepiece_model_pb2.ModelProto.FromString(Path(tokenizer.vocab_file).read_bytes())
        if pieces.normalizer_spec.precompiled_charsmap:
            backend.normalizer = normalizers.Precompiled(pieces.normalizer_spec.precompiled_charsmap)
    elif tokenizer.name_or_path and (saved := Path(tokenizer.name_or_path) / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        backend.normalizer = Tokenizer.from_file(str(saved)).normalizer
