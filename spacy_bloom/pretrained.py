"""The public classes: the core's classes with `from_pretrained` and `save_pretrained`."""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from . import tokenizer
from .bloom import heads, model
from .checkpoint.files import ADAPTER_FOLDER, CONFIG_FILE, WeightFiles, has_adapter
from .checkpoint.load import TensorSource, first_blocks, load_model
from .checkpoint.names import TIED_HEAD
from .checkpoint.sources import find_checkpoint
from .checkpoint.writing import MAX_SHARD_SIZE, describe, save_weights
from .config import ALIASES, BloomConfig
from .errors import BloomWarning, InputError
from .files import replacing_together, write_text
from .generation.config import GenerationConfig
from .generation.mixin import GenerationMixin

GENERATION_CONFIG_FILE = "generation_config.json"

PretrainedT = TypeVar("PretrainedT", bound="PretrainedMixin")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def to_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """RETURNS (torch.dtype | None): The dtype of a name in a config; None for "auto", the checkpoint's own.
    RAISES (InputError): An unknown name.
    """
    if dtype is None or dtype == "auto":
        return None
    if isinstance(dtype, torch.dtype) and dtype in DTYPES.values():
        return dtype
    if isinstance(dtype, str) and dtype in DTYPES:
        return DTYPES[dtype]
    raise InputError(f"Expected dtype to be one of {sorted(DTYPES)} or 'auto', got {dtype!r}.")


def warn_of_adapter(path: Path) -> None:
    """Warn where there are adapters in a directory whose weights are read without them."""
    if has_adapter(path):
        warnings.warn(
            f"There are adapters in {path / ADAPTER_FOLDER}, which are not read: what is loaded is the model without "
            "them. To have them in the weights, save their pipeline with lora.merge = true.",
            BloomWarning,
            stacklevel=3,
        )


def _check_changes(changes: Mapping[str, Any]) -> None:
    """RAISES (InputError): A name that is none of the config's, which would keep it and do nothing."""
    known = {*BloomConfig.__dataclass_fields__, *ALIASES, "num_labels", "label2id"}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(
            f"Expected dtype, device, revision, local_files_only, config, num_layers or fields of BloomConfig; got "
            f"{', '.join(unknown)}. (torch_dtype is dtype here, device_map is device.)"
        )


class PretrainedMixin(model.BloomPreTrainedModel):
    """Gives a model its life in files."""

    @classmethod
    def from_pretrained(
        cls: type[PretrainedT],
        name: str | os.PathLike,
        *,
        dtype: torch.dtype | str | None = torch.float32,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        local_files_only: bool = False,
        config: BloomConfig | None = None,
        num_layers: int | None = None,
        **changes: Any,
    ) -> PretrainedT:
        """Load a checkpoint, mapped into memory where its dtype already fits. Adapters that a pipeline was trained with
        are not read: of those there is a warning.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        dtype (torch.dtype | str | None): Of the weights; "auto" keeps the files'.
        device (str | torch.device): Where to put them.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        config (BloomConfig | None): Instead of the checkpoint's `config.json`.
        num_layers (int | None): Load the first blocks only; the weights of the others are not read.
        **changes: Fields of the config to change, for example `num_labels=5` for a new head.
        RETURNS (PretrainedT): The model in evaluation mode.
        RAISES (CheckpointError): No such checkpoint, or weights that are not what the config says.
        RAISES (ConfigError): A damaged config.
        RAISES (InputError): More num_layers than there are, an unknown dtype, or what is no field of the config.
        """
        path = find_checkpoint(name, revision=revision, local_files_only=local_files_only)
        warn_of_adapter(path)
        config = BloomConfig.from_json_file(path / CONFIG_FILE) if config is None else config
        _check_changes(changes)
        config = config.replace(**changes) if changes else config
        return cls.from_directory(path, config, dtype=dtype, device=device, num_layers=num_layers)

    @classmethod
    def from_directory(
        cls: type[PretrainedT],
        path: Path,
        config: BloomConfig,
        *,
        dtype: torch.dtype | str | None,
        device: str | torch.device = "cpu",
        num_layers: int | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> PretrainedT:
        """As `from_pretrained`, from a directory that has been found.

        weights (Mapping[str, Tensor] | None): Weights by name instead of those in the directory's files; their
            memory is used where dtype and device fit.
        """
        config, is_kept = first_blocks(config, num_layers)
        source = WeightFiles(path, wanted=is_kept) if weights is None else TensorSource(weights)
        loaded = load_model(cls, config, source, dtype=to_dtype(dtype), device=device)
        loaded._read_more(path)
        return loaded

    def save_pretrained(
        self,
        path: str | os.PathLike,
        *,
        dtype: torch.dtype | str | None = None,
        max_shard_size: int | str = MAX_SHARD_SIZE,
    ) -> None:
        """Write config and weights in the Hugging Face layout, as safetensors.

        path (str | PathLike): Directory, made if it does not exist.
        dtype (torch.dtype | str | None): Of the files; None keeps the model's.
        max_shard_size (int | str): Bytes, or text such as "500MB" or "2GiB". Larger models are written as
            shards with an index.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        stored = to_dtype(dtype) or self.dtype
        weights = dict(self.state_dict())
        if self.config.tie_word_embeddings:
            weights.pop(TIED_HEAD, None)
        save_weights(weights, path, dtype=stored, max_shard_size=max_shard_size)
        config = describe(self.config, [type(self).__name__], stored)
        with replacing_together(path) as replace:
            write_text(replace(CONFIG_FILE), config.to_json_string())
            self._write_more(path, replace)

    def _read_more(self, path: Path) -> None:
        """Read what a class keeps in files of its own."""

    def _write_more(self, path: Path, replace: Callable[[str], Path]) -> None:
        """Write it to the directory; `replace` hands out files that take their names together."""


class BloomModel(PretrainedMixin, model.BloomModel):
    __doc__ = model.BloomModel.__doc__


class BloomForCausalLM(PretrainedMixin, GenerationMixin, heads.BloomForCausalLM):
    __doc__ = heads.BloomForCausalLM.__doc__

    def _read_more(self, path: Path) -> None:
        if (path / GENERATION_CONFIG_FILE).is_file():
            self.generation_config = GenerationConfig.from_json_file(path / GENERATION_CONFIG_FILE)

    def save_generation_config(self, path: Path) -> None:
        """Write what the model generates with to a directory that has one, or remove another model's."""
        with replacing_together(path) as replace:
            self._write_more(path, replace)

    def _write_more(self, path: Path, replace: Callable[[str], Path]) -> None:
        if self.generation_config is not None:
            write_text(replace(GENERATION_CONFIG_FILE), self.generation_config.to_json_string())
        else:
            (path / GENERATION_CONFIG_FILE).unlink(missing_ok=True)  # of the model that was here


class BloomForSequenceClassification(PretrainedMixin, heads.BloomForSequenceClassification):
    __doc__ = heads.BloomForSequenceClassification.__doc__


class BloomForQuestionAnswering(PretrainedMixin, heads.BloomForQuestionAnswering):
    __doc__ = heads.BloomForQuestionAnswering.__doc__


class BloomForTokenClassification(PretrainedMixin, heads.BloomForTokenClassification):
    __doc__ = heads.BloomForTokenClassification.__doc__


class BloomTokenizerFast(tokenizer.BloomTokenizerFast):
    __doc__ = tokenizer.BloomTokenizerFast.__doc__

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        **config: Any,
    ) -> Self:
        """Load a checkpoint's tokenizer.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        **config: Override what the checkpoint says, for example `add_prefix_space=True`.
        RETURNS (BloomTokenizerFast): The tokenizer.
        RAISES (CheckpointError, ConfigError): No such checkpoint, or a damaged one.
        """
        path = find_checkpoint(name, revision=revision, local_files_only=local_files_only, weights=False)
        return cls.from_directory(path, **config)
