"""The LSTM family, written as the Hub's model families are. Importing this registers it with transformers' Auto classes
(the one import in the project with a side effect: `AutoModelFor…` must know the family before it can load it)."""

from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from pipelines.lstm.configuration_lstm import LSTMConfig
from pipelines.lstm.modeling_lstm import LSTMForConditionalGeneration, LSTMForSequenceClassification

AutoConfig.register("lstm", LSTMConfig, exist_ok=True)
AutoModelForSeq2SeqLM.register(LSTMConfig, LSTMForConditionalGeneration, exist_ok=True)
AutoModelForSequenceClassification.register(LSTMConfig, LSTMForSequenceClassification, exist_ok=True)

__all__ = ["LSTMConfig", "LSTMForConditionalGeneration", "LSTMForSequenceClassification"]
