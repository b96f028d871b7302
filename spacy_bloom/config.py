"""BLOOM's configuration: checked once, never changed, read from and written to `config.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from .errors import ConfigError
from .files import read_json, to_json
from .settings import PieceId, Rate, check, check_settings, integer, number, one_of, shown

# Spellings of older BLOOM checkpoints, and the names Hugging Face's other models use.
ALIASES = {
    "n_embed": "hidden_size",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# The limits are far above BLOOM-176B: a config beyond them is damaged or hostile, and is refused before memory is
# taken.
MAX_LABELS = 2**16
MAX_NUMBER = 1e30  # float32 ends at 3e38
PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")


@dataclass(frozen=True, init=False)
class BloomConfig:
    """Geometry and options of a BLOOM model; field names and defaults are Hugging Face's.

    Older spellings (`n_embed`, `num_attention_heads`, `num_hidden_layers`) are understood as arguments,
    in `config.json` and as attributes. Fields that are not BLOOM's own are kept in `extra` and written
    back unchanged.

    vocab_size (int): Rows of the embedding; may exceed the tokenizer's pieces (250,880 for 250,680).
    hidden_size (int): Size of a hidden state; a multiple of n_head.
    n_layer (int): Number of blocks.
    n_head (int): Attention heads per block; any number, not only powers of two.
    layer_norm_epsilon (float): Added to the variance in every layer norm.
    initializer_range (float): Standard deviation of random initial weights.
    use_cache (bool): Whether the forward pass returns keys and values outside training.
    bos_token_id, eos_token_id, pad_token_id (int | None): Ids of `<s>`, `</s>`, `<pad>`.
    apply_residual_connection_post_layernorm (bool): Residual taken after the layer norm, not before.
    hidden_dropout, attention_dropout (float): Probabilities in [0, 1), used in training only.
    pretraining_tp (int), slow_but_exact (bool): Kept for the round trip. The products that Hugging Face
        slices when both are set are computed whole here, with their bias (which it leaves out there).
    classifier_dropout (float | None): Dropout before a token classifier; hidden_dropout if None.
    id2label (Mapping[int, str] | None): Labels of a classification head.
    problem_type (str | None): Loss of a sequence classifier.
    tie_word_embeddings (bool): Whether the LM head is the embedding matrix.
    output_hidden_states, output_attentions (bool): Defaults of the forward pass.
    extra (Mapping[str, Any]): All other fields of `config.json`.
    RAISES (ConfigError): An argument is ill-typed or out of range, or two spellings disagree.
    SOURCE: transformers' BloomConfig.
    """

    vocab_size: Annotated[int, integer(1, 2**24)] = 250880
    hidden_size: Annotated[int, integer(1, 2**17)] = 64
    n_layer: Annotated[int, integer(1, 2**9)] = 2
    n_head: Annotated[int, integer(1, 2**10)] = 8
    layer_norm_epsilon: Annotated[float, number(0, MAX_NUMBER)] = 1e-5
    initializer_range: Annotated[float, number(0, MAX_NUMBER)] = 0.02
    use_cache: bool = True
    bos_token_id: PieceId | None = 1
    eos_token_id: PieceId | None = 2
    pad_token_id: PieceId | None = None
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    pretraining_tp: Annotated[int, integer(1, 2**17)] = 1
    slow_but_exact: bool = False
    classifier_dropout: Rate | None = None
    id2label: Mapping[int, str] | None = None
    problem_type: Annotated[str | None, one_of(*PROBLEM_TYPES)] = None
    tie_word_embeddings: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        values = _with_own_names(values)
        extra = values.pop("extra", {})
        if not isinstance(extra, Mapping):
            raise ConfigError(f"BLOOM config: expected extra to be a mapping, got {shown(extra)}.")
        extra = dict(extra)
        num_labels = values.pop("num_labels", None)
        names = [f.name for f in fields(self) if f.name != "extra"]
        own = {name: values.pop(name, getattr(type(self), name)) for name in names}
        own["id2label"] = _labels(own["id2label"], num_labels)
        extra.update(values)
        extra.pop("label2id", None)  # derived from id2label
        for name, value in {**own, "extra": extra}.items():
            object.__setattr__(self, name, value)
        check_settings(self, "BLOOM config")
        if self.hidden_size % self.n_head:
            raise ConfigError(
                "BLOOM config: expected hidden_size to be a multiple of n_head, "
                f"got {self.hidden_size} and {self.n_head}."
            )

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True, default=str))

    @property
    def head_dim(self) -> int:
        """RETURNS (int): Size of one attention head."""
        return self.hidden_size // self.n_head

    @property
    def num_labels(self) -> int:
        """RETURNS (int): Number of labels of a classification head; 2 if none are named, by default."""
        return 2 if self.id2label is None else len(self.id2label)

    @property
    def label2id(self) -> dict[str, int] | None:
        """RETURNS (dict[str, int] | None): The inverse of id2label."""
        return None if self.id2label is None else {label: i for i, label in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """RETURNS (bool): Whether the forward pass returns its outputs by name, rather than as a tuple."""
        return bool(self.extra.get("return_dict", True)) and not self.extra.get("torchscript", False)

    @property
    def n_embed(self) -> int:
        """RETURNS (int): hidden_size under its older name."""
        return self.hidden_size

    @property
    def num_attention_heads(self) -> int:
        """RETURNS (int): n_head under the name that other models use."""
        return self.n_head

    @property
    def num_hidden_layers(self) -> int:
        """RETURNS (int): n_layer under the name that other models use."""
        return self.n_layer

    def replace(self, **changes: Any) -> "BloomConfig":
        """A copy with some fields changed; the copy is checked like a new config.

        RETURNS (BloomConfig): The new config.
        """
        changes = _with_own_names(changes)
        if "num_labels" in changes and "id2label" not in changes:
            changes["id2label"] = None
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return BloomConfig(**{**own, **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BloomConfig":
        """RETURNS (BloomConfig): The config that the content of a `config.json` describes.
        RAISES (ConfigError): As the constructor, and when `model_type` is another model's.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"Expected the fields of a BLOOM config, got {type(values).__name__}.")
        strange = [name for name in values if not isinstance(name, str)]
        if strange:
            raise ConfigError(f"Expected the names of a BLOOM config's fields as text, got {shown(strange)}.")
        values = dict(values)
        model_type = values.pop("model_type", "bloom")
        if model_type != "bloom":
            raise ConfigError(
                f"Expected a config with model_type 'bloom', got {shown(model_type)}. "
                "Only BLOOM checkpoints can be loaded."
            )
        return cls(**values)

    @classmethod
    def from_json_file(cls, path: Path) -> "BloomConfig":
        """RETURNS (BloomConfig): The config in a `config.json`.
        RAISES (ConfigError): The file is missing, not JSON, or not a valid config.
        """
        return cls.from_dict(read_json(path))

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The fields for a `config.json` that Hugging Face reads as well."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        if self.id2label is None:
            del own["id2label"]
        else:
            own["id2label"] = {str(i): label for i, label in self.id2label.items()}
            own["label2id"] = self.label2id
        return {"model_type": "bloom", **self.extra, **own}

    def to_json_string(self) -> str:
        """RETURNS (str): `to_dict` as JSON with sorted keys, so that equal configs are equal bytes."""
        return to_json(self.to_dict())


def _with_own_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace older spellings by ours. RAISES (ConfigError): when two spellings of one field disagree."""
    result = dict(values)
    for alias, name in ALIASES.items():
        if alias not in result:
            continue
        value = result.pop(alias)
        if name in result and result[name] != value:
            raise ConfigError(
                f"Got {alias}={shown(value)} and {name}={shown(result[name])}, two spellings of one field. "
                "Give one of them."
            )
        result[name] = value
    return result


def _labels(id2label: Any, num_labels: Any) -> dict[int, str] | None:
    if id2label is None:
        if num_labels is None:
            return None
        check("num_labels", num_labels, integer(1, MAX_LABELS))
        return {i: f"LABEL_{i}" for i in range(num_labels)}
    try:
        labels = {int(i): label for i, label in dict(id2label).items()}
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"Expected id2label as a mapping of ids to labels, got {shown(id2label)}."
        ) from None
    given = len(dict(id2label))  # fewer are left if two spellings are one id: "1" and "01"
    if not 1 <= given <= MAX_LABELS:
        raise ConfigError(f"Expected id2label with 1 to {MAX_LABELS} labels, got {given}.")
    if sorted(labels) != list(range(given)) or not all(isinstance(x, str) for x in labels.values()):
        raise ConfigError(
            f"Expected id2label with ids 0 to {given - 1} and text labels, got {shown(id2label)}."
        )
    if num_labels is not None and num_labels != given:
        raise ConfigError(f"Got num_labels={shown(num_labels)} but {given} labels in id2label.")
    return dict(sorted(labels.items()))
