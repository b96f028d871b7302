"""BLOOM's configuration: checked once, never changed, read from and written to `config.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

from .errors import ConfigError

T = TypeVar("T")

# Spellings of older BLOOM checkpoints, and the names Hugging Face's other models use.
ALIASES = {
    "n_embed": "hidden_size",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}

# Far above BLOOM-176B; a config beyond it is damaged or hostile, and is refused before memory is taken.
LARGEST = {
    "vocab_size": 2**24,
    "hidden_size": 2**17,
    "n_layer": 2**9,
    "n_head": 2**10,
    "pretraining_tp": 2**17,
}
MOST_LABELS = 2**16

PROBABILITIES = ("hidden_dropout", "attention_dropout", "classifier_dropout")
FLAGS = (
    "use_cache",
    "apply_residual_connection_post_layernorm",
    "slow_but_exact",
    "tie_word_embeddings",
    "output_hidden_states",
    "output_attentions",
)
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
LARGEST_NUMBER = 1e30  # of a variance or a standard deviation; float32 ends at 3e38
NUMBERS = ("layer_norm_epsilon", "initializer_range")
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

    vocab_size: int = 250880
    hidden_size: int = 64
    n_layer: int = 2
    n_head: int = 8
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    pad_token_id: int | None = None
    apply_residual_connection_post_layernorm: bool = False
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    pretraining_tp: int = 1
    slow_but_exact: bool = False
    classifier_dropout: float | None = None
    id2label: Mapping[int, str] | None = None
    problem_type: str | None = None
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
        _check(self)

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
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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
        if not is_int(num_labels) or not 1 <= num_labels <= MOST_LABELS:
            raise ConfigError(
                f"Expected num_labels as an integer from 1 to {MOST_LABELS}, got {shown(num_labels)}."
            )
        return {i: f"LABEL_{i}" for i in range(num_labels)}
    try:
        labels = {int(i): label for i, label in dict(id2label).items()}
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"Expected id2label as a mapping of ids to labels, got {shown(id2label)}."
        ) from None
    given = len(dict(id2label))  # fewer are left if two spellings are one id: "1" and "01"
    if not 1 <= given <= MOST_LABELS:
        raise ConfigError(f"Expected id2label with 1 to {MOST_LABELS} labels, got {given}.")
    if sorted(labels) != list(range(given)) or not all(isinstance(x, str) for x in labels.values()):
        raise ConfigError(
            f"Expected id2label with ids 0 to {given - 1} and text labels, got {shown(id2label)}."
        )
    if num_labels is not None and num_labels != given:
        raise ConfigError(f"Got num_labels={shown(num_labels)} but {given} labels in id2label.")
    return dict(sorted(labels.items()))


def read_json(path: Path) -> Any:
    """RETURNS (Any): What a JSON file of a checkpoint holds.
    RAISES (ConfigError): The file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise ConfigError(
            f"No {path.name} in {path.parent}. Expected a checkpoint in the Hugging Face layout."
        ) from None
    except (ValueError, RecursionError) as error:  # also no UTF-8, numbers of 5,000 digits
        raise ConfigError(f"{path} is not JSON: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None


def shown(value: Any) -> str:
    """What an error shows of a value: shortened, as values come from files and can have any size."""
    short = Repr()
    short.maxstring = short.maxother = 80
    try:
        return short.repr(value)
    except ValueError:  # an integer of thousands of digits has no text
        return f"a {type(value).__name__} too long to show"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def from_settings(kind: type[T], name: str, settings: Mapping[str, Any]) -> T:
    """kind (type): A dataclass.
    name (str): What the settings are called in a config.
    settings (Mapping[str, Any]): Values of some of its fields.
    RETURNS (T): With these values.
    RAISES (ConfigError): There is no such field, or a value is not what it should be.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"Expected of {name} some of the settings {known}, got {unknown}.")
    try:
        return kind(**settings)
    except TypeError as error:  # what a value of the wrong type runs into
        raise ConfigError(
            f"Expected numbers and strings as the settings {known} of {name}, got {settings}."
        ) from error


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(config: BloomConfig) -> None:
    def expect(good: bool, name: str, what: str) -> None:
        if not good:
            raise ConfigError(
                f"BLOOM config: expected {name} to be {what}, got {shown(getattr(config, name))}."
            )

    for name, largest in LARGEST.items():
        value = getattr(config, name)
        expect(is_int(value) and 1 <= value <= largest, name, f"an integer from 1 to {largest}")
    for name in PROBABILITIES:
        value = getattr(config, name)
        missing = name == "classifier_dropout" and value is None
        expect(missing or (is_number(value) and 0 <= value < 1), name, "a number in [0, 1)")
    for name in FLAGS:
        expect(isinstance(getattr(config, name), bool), name, "true or false")
    for name in TOKEN_IDS:
        value = getattr(config, name)
        expect(value is None or (is_int(value) and 0 <= value < 2**31), name, "an id (0 or more) or null")
    for name in NUMBERS:
        value = getattr(config, name)
        expect(is_number(value) and 0 <= value <= LARGEST_NUMBER, name, "a finite number of 0 or more")
    expect(config.problem_type in PROBLEM_TYPES, "problem_type", f"one of {PROBLEM_TYPES}")
    if config.hidden_size % config.n_head:
        raise ConfigError(
            "BLOOM config: hidden_size must be a multiple of n_head, "
            f"got {config.hidden_size} and {config.n_head}."
        )
