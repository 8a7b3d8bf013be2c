"""The LSTM family, written as the Hub's model families are. Importing this registers it with transformers' Auto classes
(the one import in the project with a side effect: `AutoModelFor…` must know the family before it can load it)."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_classifier import LSTMForSequenceClassification, LSTMModel
from pipelines.lstm.modeling_lm import LSTMForCausalLM
from pipelines.lstm.modeling_lstm import LSTMForConditionalGeneration
from pipelines.lstm.modeling_reader import LSTMForQuestionAnswering
from pipelines.lstm.modeling_tagger import LSTMForTokenClassification

AutoConfig.register("lstm", LSTMConfig, exist_ok=True)
AutoModel.register(LSTMConfig, LSTMModel, exist_ok=True)
AutoModelForCausalLM.register(LSTMConfig, LSTMForCausalLM, exist_ok=True)
AutoModelForQuestionAnswering.register(LSTMConfig, LSTMForQuestionAnswering, exist_ok=True)
AutoModelForSeq2SeqLM.register(LSTMConfig, LSTMForConditionalGeneration, exist_ok=True)
AutoModelForSequenceClassification.register(LSTMConfig, LSTMForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(LSTMConfig, LSTMForTokenClassification, exist_ok=True)

__all__ = [
    "LSTMConfig",
    "LSTMForCausalLM",
    "LSTMForConditionalGeneration",
    "LSTMForQuestionAnswering",
    "LSTMForSequenceClassification",
    "LSTMForTokenClassification",
    "LSTMModel",
]
