"""The model of this folder for Transformers: AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)."""
import torch
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


class QuireConfig(PretrainedConfig):
    model_type = "quire"


class QuireForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = QuireConfig

    def __init__(self, config):
        super().__init__(config)
        cell = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[config.cell]
        self.embedding = torch.nn.Embedding(config.vocab_size, config.embedding_size)
        self.rnn = cell(config.embedding_size, config.hidden_size, config.num_hidden_layers, batch_first=True)
        self.dense = torch.nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, **_):
        return CausalLMOutput(logits=self.dense(self.rnn(self.embedding(input_ids))[0]))
