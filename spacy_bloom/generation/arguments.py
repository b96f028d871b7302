"""What `generate` is called with, in Hugging Face's names, and which options hold for the call."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..bloom.heads import BloomLanguageModel
from ..errors import BloomWarning, ConfigError, InputError
from ..settings import is_int, shown
from .config import DEFAULTS, METADATA, OPTIONS, GenerationConfig
from .lent_cache import LentCache

# Arguments of a forward pass that ask for nothing when text is generated.
WITHOUT_EFFECT = ("cache_position", "return_dict", "trust_remote_code", "logits_to_keep")
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
MODEL_INPUTS = ("input_ids", "attention_mask", "inputs_embeds", "past_key_values")


@dataclass
class Inputs:
    """
    ids (Tensor): Prompts; of length 0 with nothing but embeds. Shape (batch, length).
    mask (Tensor): 1 for pieces, 0 for padding, of what is fed and what is cached. Shape (batch, keys).
    embeds (Tensor | None): Instead of the ids, at first. Shape (batch, keys, hidden_size).
    lent (LentCache | None): Keys and values of earlier calls.
    """

    ids: Tensor
    mask: Tensor
    embeds: Tensor | None = None
    lent: LentCache | None = None

    @property
    def prompts(self) -> list[list[int]]:
        """RETURNS (list[list[int]]): The real pieces of each row."""
        if not self.ids.shape[1]:
            return [[] for _ in self.ids]
        real = self.mask[:, -self.ids.shape[1] :].bool().cpu()
        return [row[keep].tolist() for row, keep in zip(self.ids.cpu(), real, strict=True)]

    def padded_left(self) -> "Inputs":
        """RETURNS (Inputs): The same rows with all padding on the left, where nothing is generated after it."""
        if self.lent is not None or self.embeds is not None or bool((self.mask[:, -1:] != 0).all()):
            return self
        order = (self.mask != 0).long().argsort(dim=1, stable=True)
        return Inputs(self.ids.gather(1, order), self.mask.gather(1, order))


@dataclass
class Callbacks:
    """What is called during generation; see `BloomForCausalLM.generate`."""

    processors: list[Any] = field(default_factory=list)
    criteria: list[Any] = field(default_factory=list)
    prefix_allowed: Any = None
    streamer: Any = None
    negative_ids: Tensor | None = None
    negative_mask: Tensor | None = None


def resolve_options(
    model: Any, given: Any, options: Mapping[str, Any], *, use_model_defaults: bool | None = None
) -> GenerationConfig:
    """The options of a call, by precedence: the call's own; the given config's where they are not as by default; the
    model's generation_config; defaults.

    model (BloomForCausalLM): With a generation_config.
    given (GenerationConfig | None): Also one of transformers.
    options (Mapping[str, Any]): The call's own.
    use_model_defaults (bool | None): False to take nothing but control tokens from the model's.
    RETURNS (GenerationConfig): A copy.
    RAISES (ConfigError): An option is unknown, ill-typed or out of range, or options conflict.
    """
    own: GenerationConfig = model.generation_config
    if given is None:
        config = own
    else:
        config = as_config(given)
        names = OPTIONS if use_model_defaults is not False else TOKENS
        kept = {n: getattr(own, n) for n in names if getattr(config, n) == DEFAULTS[n] != getattr(own, n)}
        most = config.replace(**{n: v for n, v in kept.items() if n.startswith("max_")}).fixed_added
        if most is not None and kept.get("min_new_tokens", 0) > most:
            kept["min_new_tokens"] = most
        config = config.replace(**kept)
    tokens = {n: getattr(model.config, n) for n in TOKENS if getattr(config, n) is None and n not in options}
    return config.replace(**tokens, **_clamped(config, options), **options)


def _clamped(config: GenerationConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A minimum that no option of the call sets, where it exceeds the call's maximum."""
    least, most = config.min_new_tokens, options.get("max_new_tokens") or config.fixed_added
    if least is None or "min_new_tokens" in options or most is None or not is_int(most) or least <= most:
        return {}
    return {"min_new_tokens": most}


def as_config(given: Any) -> GenerationConfig:
    """RETURNS (GenerationConfig): A config of ours: the given one, or what one of transformers holds.
    RAISES (ConfigError): It is neither.
    """
    if isinstance(given, GenerationConfig):
        return given
    if isinstance(given, Mapping) or not hasattr(given, "to_dict"):
        raise ConfigError(f"Expected generation_config as a GenerationConfig, got {shown(given)}.")
    values = {name: value for name, value in given.to_dict().items() if name not in METADATA}
    return GenerationConfig.from_dict(values)


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """RETURNS (tuple[dict, dict]): Options, and inputs of the model.
    RAISES (ConfigError): There are others, misspelt ones perhaps.
    """
    options = {name: value for name, value in arguments.items() if name in OPTIONS}
    inputs = {name: value for name, value in arguments.items() if name in MODEL_INPUTS}
    others = {
        n: v for n, v in arguments.items() if n not in options and n not in inputs and n not in WITHOUT_EFFECT
    }
    others = {name: value for name, value in others.items() if value is not None}  # None asks for nothing
    if others:
        GenerationConfig(**others)  # an error that names near ones
    return options, inputs


def read_inputs(
    model: BloomLanguageModel, inputs: Tensor | None, given: Mapping[str, Any], config: Any
) -> Inputs:
    """
    inputs (Tensor | None): The prompts' ids, as the first argument.
    given (Mapping[str, Any]): input_ids, attention_mask, inputs_embeds, past_key_values.
    config (GenerationConfig): Control tokens: prompts begin with bos_token_id where there are none; ids equal to
        pad_token_id are padding where no mask says so, unless they also end sequences.
    RETURNS (Inputs): All of one batch, on the model's device.
    RAISES (InputError): Shapes that do not fit.
    """
    if inputs is not None and given.get("input_ids") is not None:
        raise InputError("Got prompts twice: as the first argument and as input_ids.")
    ids = given.get("input_ids") if inputs is None else inputs
    embeds, mask = given.get("inputs_embeds"), given.get("attention_mask")
    ids = _from_nothing(config, embeds, mask) if ids is None else torch.as_tensor(ids)
    past = given.get("past_key_values")
    lent = None if past is None else LentCache(past, model.config)
    keys = embeds if embeds is not None and not ids.shape[-1] else ids
    known = _guessed_mask(ids if ids.dim() == 2 and ids.shape[1] else keys, config)
    if embeds is not None and mask is None and known.shape[:2] != embeds.shape[:2]:
        known = torch.ones(embeds.shape[:2], dtype=torch.long)
    mask = known if mask is None else torch.as_tensor(mask)
    wanted = (keys if embeds is None else embeds).shape[:2]
    if ids.dim() != 2 or tuple(mask.shape) != tuple(wanted):
        raise InputError(
            f"Expected input_ids, and attention_mask if given, of one shape (batch, length); got {tuple(ids.shape)}"
            + ("." if given.get("attention_mask") is None else f" and {tuple(mask.shape)}.")
        )
    device = model.device
    embeds = None if embeds is None else embeds.to(device)
    return Inputs(ids.to(device), mask.to(device).long(), embeds, lent)


def with_lengths(config: GenerationConfig, inputs: Inputs) -> GenerationConfig:
    """Count what may be and must be added, as Hugging Face: max_length and min_length count padding too.

    RETURNS (GenerationConfig): With max_new_tokens and min_new_tokens.
    RAISES (InputError): The prompts are as long as max_length.
    """
    length = inputs.ids.shape[1]
    if inputs.embeds is not None and inputs.embeds.shape[1] != length:
        length = inputs.embeds.shape[1]
        added = config.max_new_tokens or config.max_length - length
        if added < 1:
            raise InputError(
                f"Expected inputs_embeds of fewer than max_length={config.max_length} pieces, got {length}: set "
                "max_new_tokens."
            )
    else:
        added = config.max_added(length)
    least = config.min_new_tokens
    if added == config.max_new_tokens and not config.min_length:
        return config
    if least is None:
        least = min(max(config.min_length - length, 0), added)
    return config.replace(max_new_tokens=added, min_new_tokens=least, min_length=0)


def expect_supported(config: GenerationConfig, **arguments: Any) -> None:
    """RAISES (ConfigError): Something is asked for that would run others' code, or wait for other processes."""
    if arguments.get("custom_generate") is not None:
        raise ConfigError(
            "custom_generate would run code of a repository: call your function with the model instead."
        )
    if arguments.get("synced_gpus"):
        raise ConfigError(
            "synced_gpus is for weights in parts that all processes fetch together. Expected it to be False: divide "
            "the model with a placement instead."
        )
    if config.prompt_lookup_num_tokens and config.num_beams > 1:
        warnings.warn("Drafts have no effect in beam search.", BloomWarning, stacklevel=3)


def _from_nothing(config: GenerationConfig, embeds: Tensor | None, mask: Tensor | None) -> Tensor:
    """RETURNS (Tensor): No ids beside embeds; else bos_token_id. Shape (batch, 0 or 1)."""
    if embeds is not None:
        return torch.zeros(embeds.shape[0], 0, dtype=torch.long)
    if config.bos_token_id is None:
        raise InputError("Expected input_ids, or a bos_token_id to begin with.")
    return torch.full((1 if mask is None else len(mask), 1), config.bos_token_id, dtype=torch.long)


def _guessed_mask(ids: Tensor, config: GenerationConfig) -> Tensor:
    pad = config.pad_token_id
    if ids.dim() != 2 or ids.is_floating_point() or pad is None or pad in config.eos_token_ids:
        return torch.ones(ids.shape[:2], dtype=torch.long)
    return (ids != pad).long()
