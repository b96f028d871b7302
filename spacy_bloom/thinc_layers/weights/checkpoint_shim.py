"""The torch side of a thinc model: loads on first use, saves as safetensors, never as pickle."""

import copy
from pathlib import Path
from typing import Any

import torch
from thinc.api import PyTorchShim, Shim, get_torch_default_device
from typing_extensions import Self

from ...errors import CheckpointError
from ...tokenizer import BloomTokenizerFast
from .forks import settle_in_fork
from .saved_model import SavedModel
from .settings import WeightSettings


class CheckpointShim(PyTorchShim):
    """Holds a model and its tokenizer, or the name to load them from on first use. Models with equal weights share
    their memory until one is trained.

    weights (WeightSettings): Which weights, in which dtypes.
    """

    model_class: Any
    read_only = True  # whether nobody trains it

    def __init__(self, weights: WeightSettings) -> None:
        super().__init__(None)
        self.weights = weights
        self._tokenizer: BloomTokenizerFast | None = None

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether weights are in memory."""
        return self._model is not None

    @property
    def module(self) -> Any:
        """RETURNS (Module): The model, loaded now if it was not."""
        self.load()
        return self._model

    @property
    def tokenizer(self) -> BloomTokenizerFast:
        """RETURNS (BloomTokenizerFast): The tokenizer, loaded now if it was not."""
        self.load()
        assert self._tokenizer is not None
        return self._tokenizer

    def hidden_size(self) -> int | None:
        """RETURNS (int | None): Of the model, or of its checkpoint as far as that is on this machine."""
        config = self.module.config if self.loaded else self.weights.read_config()
        return None if config is None else config.hidden_size

    @torch.inference_mode(mode=False)  # weights that were made inside could never be trained
    def load(self) -> None:
        """Load weights and tokenizer of the named checkpoint, unless they are there."""
        settle_in_fork()
        if not self.loaded:
            self._read(self.weights.name, self.weights.revision)

    def __getstate__(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What is copied and pickled."""
        return self.__dict__

    @torch.inference_mode(mode=False)
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(dict(self.__getstate__()), memo)
        return copied

    def copy(self) -> Self:
        """RETURNS (CheckpointShim): A copy with weights of its own, and an id, by which optimizers know them."""
        copied = super().copy()
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    @torch.inference_mode(mode=False)
    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded; later they load onto the device of thinc's ops."""
        if self.loaded:
            super().to_device(device_type, device_id)

    def to_disk(self, path: str | Path) -> None:
        """Write a checkpoint in the Hugging Face layout.

        path (str | Path): Directory, made if it does not exist.
        """
        self._saved().to_disk(Path(path), dtype=self.weights.torch_storage_dtype)

    @torch.inference_mode(mode=False)
    def from_disk(self, path: str | Path) -> Self:
        """Map a checkpoint's weights into memory. RETURNS (CheckpointShim): The shim itself."""
        self._read(Path(path).absolute())  # a relative path could be a name on the Hub
        return self

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Config, tokenizer and weights in one.
        RAISES (CheckpointError): They are too large for spaCy's format; write them to disk instead.
        """
        return self._saved().to_bytes(dtype=self.weights.torch_storage_dtype)

    @torch.inference_mode(mode=False)
    def from_bytes(self, bytes_data: bytes) -> Self:
        """RETURNS (CheckpointShim): The shim itself, with what `to_bytes` has written.
        RAISES (CheckpointError): The bytes are damaged, or the weights are not what the config says.
        """
        device = get_torch_default_device()
        saved = SavedModel.from_bytes(bytes_data, self.model_class, self.weights, device=device)
        self._take(saved)
        return self

    def _read(self, name: str | Path, revision: str | None = None) -> None:
        device, read_only = get_torch_default_device(), self.read_only
        self._take(
            SavedModel.from_disk(
                name, self.model_class, self.weights, revision=revision, device=device, read_only=read_only
            )
        )

    def _take(self, saved: SavedModel) -> None:
        """Use what was read. RAISES (CheckpointError, ConfigError): Its parts do not belong together."""
        vocab_size = saved.module.config.vocab_size
        if len(saved.tokenizer) > vocab_size:
            raise CheckpointError(
                f"Got a tokenizer of {len(saved.tokenizer)} pieces and a model of {vocab_size} embedding rows in "
                f"{saved.where}. Expected both from one checkpoint."
            )
        self._model, self._tokenizer = self._build(saved), saved.tokenizer

    def _build(self, saved: SavedModel) -> Any:
        """RETURNS (Module): What the shim holds, of what was read."""
        return saved.module

    def _saved(self) -> SavedModel:
        return SavedModel(self.module, self.tokenizer)
