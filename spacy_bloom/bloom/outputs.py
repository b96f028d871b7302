"""What the models return. Fields that were not asked for are None."""

from dataclasses import dataclass

from torch import Tensor

from .cache import KeyValueCache


@dataclass
class BloomModelOutput:
    """Output of the decoder.

    last_hidden_state (Tensor): After the final layer norm. Shape (batch, length, hidden_size).
    past_key_values (KeyValueCache | None): Keys and values for the next call.
    hidden_states (tuple[Tensor, ...] | None): Input of the first block, then the output of each block, the
        last one after the final layer norm. n_layer + 1 times shape (batch, length, hidden_size).
    attentions (tuple[Tensor, ...] | None): n_layer times shape (batch, n_head, length, keys).
    """

    last_hidden_state: Tensor
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class CausalLMOutput:
    """Output of the language model.

    logits (Tensor): Shape (batch, length, vocab_size).
    loss (Tensor | None): Mean cross entropy of the next pieces, in nats. Shape ().
    past_key_values, hidden_states, attentions: As in BloomModelOutput.
    """

    logits: Tensor
    loss: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class TokenClassifierOutput:
    """Output of the token classifier.

    logits (Tensor): Shape (batch, length, num_labels).
    loss (Tensor | None): Mean cross entropy over labels other than -100, in nats. Shape ().
    past_key_values, hidden_states, attentions: As in BloomModelOutput.
    """

    logits: Tensor
    loss: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class SequenceClassifierOutput:
    """Output of the sequence classifier.

    logits (Tensor): Shape (batch, num_labels).
    loss (Tensor | None): By the config's problem_type. Shape ().
    past_key_values, hidden_states, attentions: As in BloomModelOutput.
    """

    logits: Tensor
    loss: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class QuestionAnsweringOutput:
    """Output of the question answerer.

    start_logits, end_logits (Tensor): Of an answer that starts, ends with a piece. Shape (batch, length).
    loss (Tensor | None): Mean of the two cross entropies, in nats. Shape ().
    past_key_values, hidden_states, attentions: As in BloomModelOutput.
    """

    start_logits: Tensor
    end_logits: Tensor
    loss: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
