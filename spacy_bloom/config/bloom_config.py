"""The fields of a config, and their checks."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Annotated, Any, ClassVar

import torch

from ..errors import BloomError, ConfigError
from ..settings import Check, PieceId, Rate, check, check_settings, checks_of, integer, number, one_of, shown
from .config_files import ConfigFiles
from .general import general_defaults
from .labels import DEFAULT_LABELS, check_labels, inverse, numbered_labels

# Spellings of older BLOOM checkpoints, and the names Hugging Face's other models use.
ALIASES = {
    "n_embed": "hidden_size",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# The limits are far above BLOOM-176B: a config beyond them is damaged or hostile, and is refused before memory is
# taken.
MAX_NUMBER = 1e30  # float32 ends at 3e38
# Fields that may be given by position, in Hugging Face's order.
POSITIONAL = (
    "vocab_size",
    "hidden_size",
    "n_layer",
    "n_head",
    "layer_norm_epsilon",
    "initializer_range",
    "use_cache",
    "bos_token_id",
    "eos_token_id",
    "apply_residual_connection_post_layernorm",
    "hidden_dropout",
    "attention_dropout",
    "pretraining_tp",
    "slow_but_exact",
)
PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")


@dataclass(init=False, eq=False, repr=False)
class BloomConfig(ConfigFiles):
    """Geometry and options of a BLOOM model; field names and defaults are Hugging Face's.

    Older spellings (`n_embed`, `num_attention_heads`, `num_hidden_layers`) are understood as arguments,
    in `config.json` and as attributes. Fields that are not BLOOM's own are kept in `extra`, can be read as attributes
    and are written back unchanged. Fields can be set, which checks them; what a built model depends on cannot.

    vocab_size (int): Rows of the embedding; may exceed the tokenizer's pieces (250,880 for 250,680).
    hidden_size (int): Size of a hidden state; a multiple of n_head.
    n_layer (int): Number of blocks.
    n_head (int): Attention heads per block; any number, not only powers of two.
    layer_norm_epsilon (float): Added to the variance in every layer norm.
    initializer_range (float): Standard deviation of random initial weights.
    use_cache (bool): Whether the forward pass returns keys and values.
    bos_token_id, eos_token_id, pad_token_id (int | None): Ids of `<s>`, `</s>`, `<pad>`.
    apply_residual_connection_post_layernorm (bool): Residual taken after the layer norm, not before.
    hidden_dropout, attention_dropout (float): Probabilities in [0, 1), used in training only.
    pretraining_tp (int), slow_but_exact (bool): Kept for the round trip. The products that Hugging Face
        slices when both are set are computed whole here, with their bias (which it leaves out there).
    classifier_dropout (float | None): Dropout before a token classifier; hidden_dropout if None.
    id2label (Mapping[int, str] | None): Labels of a classification head; LABEL_0 and LABEL_1 if None.
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
    id2label: Mapping[int, str] = None  # type: ignore[assignment]  # filled when it is made
    problem_type: Annotated[str | None, one_of(*PROBLEM_TYPES)] = None
    tie_word_embeddings: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    # What transformers' pipelines ask a config about its origin.
    _commit_hash: ClassVar[str | None] = None

    def __init__(self, /, *positional: Any, **values: Any) -> None:
        values = _with_own_names(_with_positional(positional, values))
        extra = values.pop("extra", {})
        if not isinstance(extra, Mapping):
            raise ConfigError(f"BLOOM config: expected extra to be a mapping, got {shown(extra)}.")
        name_or_path = _take_source(values)
        extra = dict(extra)
        num_labels, label2id = values.pop("num_labels", None), values.pop("label2id", None)
        own = {name: values.pop(name, getattr(type(self), name)) for name in _field_names()}
        if own["id2label"] is None and num_labels is None and label2id is not None:
            own["id2label"] = inverse(label2id)
        has_labels = own["id2label"] is not None or num_labels is not None
        if own["id2label"] is not None:
            own["id2label"] = check_labels(own["id2label"], num_labels)
        else:
            own["id2label"] = numbered_labels(DEFAULT_LABELS if num_labels is None else num_labels)
        extra.update(values)
        private = {"_has_labels": has_labels, "_name_or_path": name_or_path}
        _store(self, {**own, "extra": _with_dtype_names(extra), **private})
        check_settings(self, "BLOOM config")
        self.check_geometry()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field: BLOOM's are checked as when the config is made, others are kept in `extra`.

        RAISES (ConfigError): No such value; or a model was built with the config and would not follow.
        """
        name = ALIASES.get(name, name)
        if name.startswith("_") or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        elif name in _field_names():
            self._set_field(name, value)
        elif name == "extra":
            check(name, value, Check("a mapping", lambda x: isinstance(x, Mapping)))
            object.__setattr__(self, name, value)
        elif name == "model_type":
            check(name, value, one_of(self.model_type))
        else:
            self._expect_free(name, value)
            object.__setattr__(self, "extra", _with_dtype_names({**self.extra, name: value}))

    def __delattr__(self, name: str) -> None:
        if name in self.extra:
            object.__setattr__(self, "extra", {k: v for k, v in self.extra.items() if k != name})
        else:
            object.__delattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        """Fields besides BLOOM's own: what was given, or Hugging Face's default."""
        extra = vars(self).get("extra", {})
        if name in extra:
            return extra[name]
        if not name.startswith("_"):
            defaults = general_defaults()
            if name in defaults:
                return defaults[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}.")

    def __iter__(self) -> Iterator[str]:
        """YIELDS (str): Names of all fields."""
        return iter(self.to_dict())

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, BloomConfig):
            return NotImplemented
        return self.to_diff_dict() == other.to_diff_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_diff_dict(), sort_keys=True, default=str))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} {json.dumps(self.to_diff_dict(), indent=2, sort_keys=True, default=str)}"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copy belongs to no model, until one is built with it.
        return {name: value for name, value in vars(self).items() if name != "_built"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        _store(self, state)

    @property
    def head_dim(self) -> int:
        """RETURNS (int): Size of one attention head."""
        return self.hidden_size // self.n_head

    @property
    def has_labels(self) -> bool:
        """RETURNS (bool): Whether the labels were named or counted; without, id2label names two."""
        return bool(vars(self)["_has_labels"])

    @property
    def num_labels(self) -> int:
        """RETURNS (int): Number of labels of a classification head. Setting another number renames them."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if value != self.num_labels or not self.has_labels:
            self.id2label = numbered_labels(value)

    @property
    def label2id(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): The inverse of id2label; setting it sets that."""
        return {label: i for i, label in self.id2label.items()}

    @label2id.setter
    def label2id(self, value: Mapping[str, int] | None) -> None:
        self.id2label = None if value is None else inverse(value)  # type: ignore[assignment]

    @property
    def name_or_path(self) -> str:
        """RETURNS (str): What the config was loaded from; not written to files."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: Any) -> None:
        self._name_or_path = str(value)

    @property
    def torch_dtype(self) -> Any:
        """RETURNS (torch.dtype | None): The dtype of the checkpoint's weights; in files its name."""
        name = self.extra.get("torch_dtype")
        found = getattr(torch, name, None) if isinstance(name, str) else None
        return found if isinstance(found, torch.dtype) else name

    @torch_dtype.setter
    def torch_dtype(self, value: Any) -> None:
        newer = {"dtype": value} if "dtype" in self.extra else {}  # the spelling of transformers 5
        object.__setattr__(self, "extra", _with_dtype_names({**self.extra, **newer, "torch_dtype": value}))

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

    def check_geometry(self) -> None:
        """Check what must fit together; also when a model is built, as fields are set one after the other.

        RAISES (ConfigError): It does not.
        """
        if self.hidden_size % self.n_head:
            raise ConfigError(
                "BLOOM config: expected hidden_size to be a multiple of n_head, "
                f"got {self.hidden_size} and {self.n_head}."
            )

    def build_with(self, *names: str) -> None:
        """Say that a model was built with these fields: they cannot be set to other values any more. A copy can be.

        RAISES (ConfigError): Fields that do not fit together.
        """
        self.check_geometry()
        self._built = vars(self).get("_built", frozenset()) | frozenset(names)

    def follow(self, **changes: Any) -> None:
        """Set fields that a built model has followed already, for example vocab_size after its embedding grew."""
        built = vars(self).pop("_built", frozenset())
        try:
            self.update(changes)
        finally:
            self._built = built

    def replace(self, **changes: Any) -> "BloomConfig":
        """A copy with some fields changed; the copy is checked like a new config.

        RETURNS (BloomConfig): The new config.
        """
        changes = _with_own_names(changes)
        if ("num_labels" in changes or "label2id" in changes) and "id2label" not in changes:
            changes["id2label"] = None
        own = {name: getattr(self, name) for name in (*_field_names(), "extra")}
        if not self.has_labels:
            del own["id2label"]
        return type(self)(**{"name_or_path": self.name_or_path, **own, **changes})

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """See ConfigFiles."""
        before = dict(vars(self))
        try:
            # label2id follows from id2label, which says the same.
            for name in sorted(config_dict, key=("label2id", "num_labels", "id2label").__contains__):
                if not (name in ("label2id", "num_labels") and config_dict.get("id2label") is not None):
                    setattr(self, name, config_dict[name])
            if config_dict.get("id2label") is not None:
                check_labels(config_dict["id2label"], config_dict.get("num_labels"))
            self.check_geometry()
        except BloomError:
            _store(self, before)
            raise

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): All fields, general ones with their defaults too."""
        defaults = general_defaults()
        defaults.update(
            id2label=_by_text(self.id2label), label2id=self.label2id, _name_or_path=self.name_or_path
        )
        return {**defaults, **self.to_diff_dict()}

    def to_diff_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The fields for a `config.json` that Hugging Face reads as well: BLOOM's own, and
        those others that were given.
        """
        own = {name: getattr(self, name) for name in _field_names()}
        own["id2label"] = _by_text(self.id2label)
        if self.has_labels:
            own["label2id"] = self.label2id
        else:
            del own["id2label"]
        return {"model_type": self.model_type, **self.extra, **own}

    def _set_field(self, name: str, value: Any) -> None:
        has_labels = self.has_labels if name != "id2label" else value is not None
        if name == "id2label":
            value = check_labels(value) if has_labels else numbered_labels(DEFAULT_LABELS)
            self._expect_free("num_labels", len(value))
        elif name in _checks():
            check(name, value, _checks()[name])
        self._expect_free(name, value)
        self._has_labels = has_labels
        object.__setattr__(self, name, value)

    def _expect_free(self, name: str, value: Any) -> None:
        if name in vars(self).get("_built", ()) and value != getattr(self, name, None):
            raise ConfigError(
                f"Got {name}={shown(value)} for the config of a model that was built otherwise: it would not follow. "
                f"Make a copy for another model, with config.replace({name}=...) or copy.deepcopy(config)."
            )


BloomConfig.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        *(
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=getattr(BloomConfig, name))
            for name in POSITIONAL
        ),
        Parameter("kwargs", Parameter.VAR_KEYWORD),
    ]
)


@lru_cache(maxsize=1)
def _field_names() -> tuple[str, ...]:
    return tuple(f.name for f in fields(BloomConfig) if f.name != "extra")


def _checks() -> Mapping[str, Check]:
    return checks_of(BloomConfig)


def _store(config: BloomConfig, values: Mapping[str, Any]) -> None:
    vars(config).clear()
    vars(config).update(values)


def _with_positional(positional: tuple[Any, ...], values: dict[str, Any]) -> dict[str, Any]:
    if len(positional) > len(POSITIONAL):
        raise ConfigError(
            f"Expected at most {len(POSITIONAL)} fields by position, {', '.join(POSITIONAL)}; got {len(positional)}."
        )
    given = dict(zip(POSITIONAL, positional, strict=False))
    twice = sorted(set(given) & set(values))
    if twice:
        raise ConfigError(f"Got {', '.join(twice)} twice, by position and by name.")
    return {**given, **values}


def _take_source(values: dict[str, Any]) -> str:
    """Take what is said of where the config is from, and how it is to run, which is no part of it.

    RETURNS (str): The checkpoint's name.
    """
    values.pop("_commit_hash", None)
    implementation = values.pop("attn_implementation", None)
    if implementation not in (None, "eager"):
        raise ConfigError(
            f"Expected attn_implementation to be 'eager' or None, got {shown(implementation)}: BLOOM's biases need it. "
            "The fused kernels that can take them are used in any case."
        )
    found = values.pop("_name_or_path", "")
    return str(values.pop("name_or_path", found))


def _with_dtype_names(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
        for name, value in extra.items()
    }


def _by_text(id2label: Mapping[int, str]) -> dict[str, str]:
    return {str(i): label for i, label in id2label.items()}


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
