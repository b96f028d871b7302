"""BLOOM with a head."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import BloomConfig
from ..errors import InputError
from .model import BloomModel, BloomPreTrainedModel, draw_normal
from .outputs import CausalLMOutput, TokenClassifierOutput

IGNORED_LABEL = -100  # the label of pieces that no loss is taken of, as everywhere in PyTorch


class BloomForCausalLM(BloomPreTrainedModel):
    """BLOOM with the language-modelling head, by default the embedding matrix itself.

    config (BloomConfig): The geometry.
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        draw_normal(self.lm_head.weight, config.initializer_range)
        self.tie_weights()

    def tie_weights(self) -> None:
        """Make the LM head the embedding matrix, if the config says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.word_embeddings.weight

    def forward(
        self, input_ids: Tensor | None = None, *, labels: Tensor | None = None, **options: Any
    ) -> CausalLMOutput:
        """
        labels (Tensor | None): Usually input_ids; shifted here. -100 is ignored. Shape (batch, length).
        **options: As for BloomModel.
        RETURNS (CausalLMOutput): Logits, and the loss if there are labels.
        """
        output = self.transformer(input_ids, **options)
        logits = self.lm_head(output.last_hidden_state)
        loss = None
        if labels is not None:
            _check_labels(labels, logits)
            loss = _cross_entropy(logits[:, :-1], labels[:, 1:])
        return CausalLMOutput(logits, loss, output.past_key_values, output.hidden_states, output.attentions)


class BloomForTokenClassification(BloomPreTrainedModel):
    """BLOOM with a linear classifier on every piece.

    config (BloomConfig): The geometry; id2label names the labels.
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        rate = config.hidden_dropout if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(rate)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        draw_normal(self.classifier.weight, config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    def forward(
        self, input_ids: Tensor | None = None, *, labels: Tensor | None = None, **options: Any
    ) -> TokenClassifierOutput:
        """
        labels (Tensor | None): One per piece, -100 is ignored. Shape (batch, length).
        **options: As for BloomModel.
        RETURNS (TokenClassifierOutput): Logits, and the loss if there are labels.
        """
        output = self.transformer(input_ids, **options)
        logits = self.classifier(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            _check_labels(labels, logits)
            loss = _cross_entropy(logits, labels)
        return TokenClassifierOutput(
            logits, loss, output.past_key_values, output.hidden_states, output.attentions
        )


def _check_labels(labels: Tensor, logits: Tensor) -> None:
    if labels.shape != logits.shape[:2]:
        raise InputError(f"Expected labels of shape {tuple(logits.shape[:2])}, got {tuple(labels.shape)}.")


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labels not ignored, in float32. Shapes (batch, length, classes) and (batch, length)."""
    labels = labels.to(logits.device).reshape(-1)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), labels, ignore_index=IGNORED_LABEL)
