"""What the models return: fields that are also read like a dict and like a tuple, as Hugging Face's users do."""

from collections import OrderedDict
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._pytree import register_pytree_node

from ..kinship import Kin
from .cache import KeyValueCache


class ModelOutput(Kin, OrderedDict[str, Any]):
    """Base of the outputs. Only fields that are not None count: as keys, in `len`, and in the tuple.

    Subclasses are dataclasses, and are made from their fields, or from one mapping or pairs, which is how the
    libraries that move or gather outputs make them again.

    SOURCE: transformers' ModelOutput.
    """

    _kin = ("transformers.utils.generic", "ModelOutput")

    def __init_subclass__(cls) -> None:
        # What walks through outputs (torch.export, distributed training) has to know them.
        name = f"{cls.__module__}.{cls.__name__}"
        register_pytree_node(cls, _flatten, partial(_unflatten, cls), serialized_type_name=name)

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        first, *others = [getattr(self, name) for name in names]
        if first is not None and not isinstance(first, Tensor) and all(other is None for other in others):
            setattr(self, names[0], None)
            for name, value in dict(first).items():
                self[name] = value
            return
        for name in names:
            value = getattr(self, name)
            if value is not None:
                self[name] = value

    def to_tuple(self) -> tuple[Any, ...]:
        """RETURNS (tuple): The fields that are not None, in their order."""
        return tuple(self.values())

    def __getitem__(self, key: Any) -> Any:
        """key (str | int | slice): A field's name, or places in `to_tuple`."""
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in self:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def _refuse(self, *args: Any, **options: Any) -> Any:
        raise TypeError(
            f"The fields of a {type(self).__name__} are fixed: assign them, or copy them with `dict(...)`."
        )

    __delitem__ = setdefault = pop = update = popitem = clear = _refuse


def _flatten(output: ModelOutput) -> tuple[list[Any], list[str]]:
    return list(output.values()), list(output.keys())


def _unflatten(cls: type[ModelOutput], values: Any, names: Any) -> ModelOutput:
    return cls(**dict(zip(names, values, strict=True)))


@dataclass(eq=False)
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """What the decoder returns. Fields that were not asked for are None.

    last_hidden_state (Tensor): After the final layer norm. Shape (batch, length, hidden_size).
    past_key_values (KeyValueCache | None): Keys and values for the next call.
    hidden_states (tuple[Tensor, ...] | None): Input of the first block, then the output of each block, the
        last one after the final layer norm. n_layer + 1 times shape (batch, length, hidden_size).
    attentions (tuple[Tensor, ...] | None): n_layer times shape (batch, n_head, length, keys).
    cross_attentions (None): BLOOM has none.
    """

    last_hidden_state: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: None = None


@dataclass(eq=False)
class CausalLMOutputWithCrossAttentions(ModelOutput):
    """What the language model returns.

    loss (Tensor | None): Cross entropy of the next pieces, in nats. Shape ().
    logits (Tensor): Shape (batch, length, vocab_size).
    Others: As of the decoder.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: None = None


@dataclass(eq=False)
class SequenceClassifierOutputWithPast(ModelOutput):
    """What the classifier of sequences returns.

    loss (Tensor | None): As problem_type says. Shape ().
    logits (Tensor): Shape (batch, num_labels).
    Others: As of the decoder.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class TokenClassifierOutput(ModelOutput):
    """What the classifier of pieces returns.

    loss (Tensor | None): Cross entropy, in nats. Shape ().
    logits (Tensor): Shape (batch, length, num_labels).
    Others: As of the decoder.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """What the question answerer returns.

    loss (Tensor | None): Mean of the two cross entropies, in nats. Shape ().
    start_logits, end_logits (Tensor): That an answer starts, ends with a piece. Shape (batch, length).
    Others: As of the decoder.
    """

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
