"""Configuration of the LSTM family: `model_type` "lstm"."""

from transformers import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPast

# what a model's `forward` takes, and its output has, for what it read before: transformers 5.24 gave it a new name
CACHE = "cache" if hasattr(BaseModelOutputWithPast, "cache") else "past_key_values"
CHARACTERS = (
    "".join(map(chr, range(ord("!"), ord("~") + 1))) + "–—‘’“”«»…€£°ßÆæØøŁłı"
)  # base letters stand for accented


class LSTMConfig(PreTrainedConfig):
    """Sizes and choices of an LSTM model. Defaults: a small encoder-decoder with attention.

    Args:
        vocab_size: number of token embeddings.
        d_model: width of the token embeddings, and of the layer before the tied output embedding.
        hidden_size: width of the decoder's state and of the encoder's annotations; each of the encoder's two
            directions has `hidden_size // 2` units.
        encoder_layers, decoder_layers: stacked layers on each side (a classifier has the encoder alone).
        dropout: on embeddings, between layers and before the output.
        attention: "none" (everything passes through one vector, Sutskever et al. 2014), "additive" (Bahdanau et al.
            2015, section 3.1) or "dot" (Luong et al. 2015, "general" score; scaled by 1/sqrt(hidden_size)).
        input_feeding: the attentional vector joins the next step's input (Luong et al. 2015, section 3.3). It makes
            training step by step in Python, because it forbids the fused kernel.
        copying: a decoder may copy tokens of the source (pointer-generator, See et al. 2017); it needs attention.
        pooling: how a classifier sums up a text: "max", "mean" or "last" (final state of each direction).
        siamese: a classifier reads the two texts of a pair each alone, by the same layers, and answers from how their
            sums differ and agree (Tai et al. 2015, section 4.2). A pair comes as BERT's: [CLS] one [SEP] other [SEP].
        forget_bias: initial bias of the forget gates (Jozefowicz et al. 2015 recommend 1).
        freeze_embeddings: a reader's or classifier's token embeddings stay as they were given: for static ones of
            another encoder, which few rows would spoil (Chen et al. 2017, section 3.2, keep all but the commonest
            words fixed).
        char_size, char_filters: width of a tagger's character embeddings and of what a convolution makes of them.
        characters: those a tagger knows, cased; `max_characters` of a word are read.
    Raises `ValueError` for an unknown attention or pooling, copying without attention and an odd `hidden_size`.
    """

    model_type = "lstm"
    keys_to_ignore_at_inference = [CACHE]
    attribute_map = {"num_hidden_layers": "encoder_layers"}

    vocab_size: int = 6000
    d_model: int = 256
    hidden_size: int = 512
    encoder_layers: int = 1
    decoder_layers: int = 1
    dropout: float = 0.2
    attention: str = "dot"
    input_feeding: bool = False
    copying: bool = False
    pooling: str = "max"
    siamese: bool = False
    forget_bias: float = 1.0
    freeze_embeddings: bool = False
    char_size: int = 32
    char_filters: int = 64
    characters: str = CHARACTERS
    max_characters: int = 24
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = 0
    is_encoder_decoder: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        for name, choices in (("attention", ("none", "additive", "dot")), ("pooling", ("max", "mean", "last"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if self.copying and self.attention == "none":
            raise ValueError("copying needs attention: what is attended to is copied")
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size must be even, for two directions; got {self.hidden_size}")
        super().__post_init__(**kwargs)
