"""The public classes: the core's classes with `from_pretrained` and `save_pretrained`."""

import os
from pathlib import Path
from typing import Any, Self, TypeVar

import torch

from . import tokenizer
from .bloom import heads, model
from .checkpoint.files import CONFIG_FILE, MAX_SHARD_BYTES, WeightFiles, save_weights, taking_names
from .checkpoint.load import load_model
from .checkpoint.names import TIED_HEAD
from .checkpoint.sources import find_checkpoint
from .config import BloomConfig
from .errors import InputError

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
        **changes: Any,
    ) -> PretrainedT:
        """Load a checkpoint, mapped into memory where its dtype already fits.

        name (str | PathLike): Bundled name, directory in the Hugging Face layout, or Hub name.
        dtype (torch.dtype | str | None): Of the weights; "auto" keeps the files'.
        device (str | torch.device): Where to put them.
        revision (str | None): Branch, tag or commit on the Hub.
        local_files_only (bool): Make no network call.
        config (BloomConfig | None): Instead of the checkpoint's `config.json`.
        **changes: Fields of the config to change, for example `num_labels=5` for a new head.
        RETURNS (PretrainedT): The model in evaluation mode.
        RAISES (CheckpointError): No such checkpoint, or weights that are not what the config says.
        RAISES (ConfigError): A damaged config.
        """
        path = find_checkpoint(name, revision=revision, local_files_only=local_files_only)
        config = BloomConfig.from_json_file(path / CONFIG_FILE) if config is None else config
        config = config.replace(**changes) if changes else config
        return load_model(cls, config, WeightFiles(path), dtype=to_dtype(dtype), device=device)

    def save_pretrained(
        self,
        path: str | os.PathLike,
        *,
        dtype: torch.dtype | str | None = None,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        """Write config and weights in the Hugging Face layout, as safetensors.

        path (str | PathLike): Directory, made if it does not exist.
        dtype (torch.dtype | str | None): Of the files; None keeps the model's.
        max_shard_bytes (int): Larger models are written as shards with an index.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        stored = to_dtype(dtype) or self.dtype
        weights = dict(self.state_dict())
        if self.config.tie_word_embeddings:
            weights.pop(TIED_HEAD, None)
        save_weights(weights, path, dtype=stored, max_shard_bytes=max_shard_bytes)
        architecture = {
            "architectures": [type(self).__name__],
            "torch_dtype": str(stored).removeprefix("torch."),
        }
        config = self.config.replace(extra={**self.config.extra, **architecture})
        with taking_names(path) as take:
            take(CONFIG_FILE).write_text(config.to_json_string(), encoding="utf8")


class BloomModel(PretrainedMixin, model.BloomModel):
    __doc__ = model.BloomModel.__doc__


class BloomForCausalLM(PretrainedMixin, heads.BloomForCausalLM):
    __doc__ = heads.BloomForCausalLM.__doc__


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
