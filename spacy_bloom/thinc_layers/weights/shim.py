"""The torch side of a thinc model: loads on first use, saves as safetensors, never as pickle."""

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from thinc.api import Optimizer, PyTorchShim, Shim, get_torch_default_device, torch2xp, xp2torch

from ...checkpoint.files import CONFIG_FILE, has_adapter
from ...checkpoint.load import TensorSource, load_model
from ...checkpoint.sources import find_checkpoint
from ...config import BloomConfig
from ...errors import BloomWarning, CheckpointError, ConfigError
from ...finetuning.layerwise import LayerSchedule, layer_depth, set_trainable_layers
from ...finetuning.lora import LoraSettings, add_lora, freeze_base, has_lora
from ...pretrained import BloomModel, to_dtype, warn_of_adapter
from ...tokenizer import BloomTokenizerFast
from .adapter_files import read_adapter, set_adapter
from .heap import give_back_free_memory
from .layer_mix import LayerMix
from .saved_model import MIX, ModelParts, SavedModel
from .sharing import Origin, hold_weights, own_weights, weights_in_memory

# Updates after which free memory goes back to the system: after each update it would cost an eighth of the time.
TRIM_EVERY = 32

ATTENTIONS = ("causal", "bidirectional")

_process = os.getpid()


def settle_in_fork() -> None:
    """Compute with one thread in a forked process: the parent's threads are not there, and waiting for them
    would never end. This is what `nlp.pipe(n_process=...)` needs, one process per core being its point.
    """
    global _process
    if os.getpid() != _process:
        _process = os.getpid()
        torch.set_num_threads(1)


class BloomShim(PyTorchShim):
    """Holds a BloomModel and its tokenizer, or the name to load them from. Language models on the same weights
    share their memory, until they are trained here.

    name (str): Checkpoint to load on first use: bundled, a directory, or on the Hub.
    revision (str | None): Branch, tag or commit on the Hub.
    dtype (str): Dtype to compute in; "auto" is the checkpoint's.
    storage_dtype (str | None): Dtype to write; None is the computing dtype.
    gradient_checkpointing (bool): Trade time for memory in training.
    attention (str): "causal", as BLOOM was trained, or "bidirectional": a piece attends to what is after it too. Only
        here; whoever generates on the same weights does so causally.
    bidirectional_layers (int | None): The last layers that are bidirectional; None for all.
    train_transformer (bool): Whether the weights learn.
    trainable_layers (int | Mapping[str, int | None] | None): Which layers learn, see `LayerSchedule`.
    layer_factor (float): Factor of the learning rate from each layer to the one below it.
    lora (LoraSettings | None): Adapters that learn instead of the weights; the first update puts them in.
    mix_layers (bool): Whether the vectors are mixtures of all layers' states, which learn even if nothing else does.
    RAISES (ConfigError): A setting that there is not, or one that is out of range.
    """

    model_class: Any = BloomModel
    read_only = False  # whether nobody trains it

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        dtype: str = "float32",
        storage_dtype: str | None = None,
        gradient_checkpointing: bool = False,
        attention: str = "causal",
        bidirectional_layers: int | None = None,
        train_transformer: bool = True,
        trainable_layers: int | Mapping[str, int | None] | None = None,
        layer_factor: float = 1.0,
        lora: LoraSettings | None = None,
        mix_layers: bool = False,
    ) -> None:
        super().__init__(None)
        _check_attention(attention, bidirectional_layers)
        self.name = name
        self.revision = revision
        self.dtype = to_dtype(dtype)
        self.storage_dtype = None if storage_dtype is None else to_dtype(storage_dtype)
        self.gradient_checkpointing = gradient_checkpointing
        self.bidirectional = attention == "bidirectional"
        self._bidirectional_layers = bidirectional_layers
        self.train_transformer = train_transformer
        self.schedule = LayerSchedule(trainable_layers)
        if not 0.0 < layer_factor <= 1.0:
            raise ConfigError(f"Expected layer_factor to be above 0 and at most 1, got {layer_factor}.")
        self.layer_factor = layer_factor
        self.lora = self._configured_lora = lora
        self.mix_layers = mix_layers
        self._mix: LayerMix | None = None
        self._steps = 0
        self._tokenizer: BloomTokenizerFast | None = None
        self._masters: dict[str, torch.Tensor] = {}
        self._digest: tuple[tuple, str] | None = None

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether weights are in memory."""
        return self._model is not None

    @property
    def learns(self) -> bool:
        """RETURNS (bool): Whether an update may change weights; if not, none are to be begun."""
        return self.mix_layers or self._trainable_layers != 0

    @property
    def _trainable_layers(self) -> int | None:
        return self.schedule.at(self._steps) if self.train_transformer else 0

    @property
    def bidirectional_layers(self) -> int:
        """RETURNS (int): The last layers in which a piece attends to both sides."""
        if not self.bidirectional:
            return 0
        named = self._bidirectional_layers
        return self.module.config.n_layer if named is None else named

    @property
    def module(self) -> BloomModel:
        """RETURNS (BloomModel): The decoder, loaded now if it was not."""
        self.load()
        return self._model

    @property
    def tokenizer(self) -> BloomTokenizerFast:
        """RETURNS (BloomTokenizerFast): The tokenizer, loaded now if it was not."""
        self.load()
        assert self._tokenizer is not None
        return self._tokenizer

    def load(self) -> None:
        """Load weights and tokenizer from the named checkpoint, unless they are there."""
        settle_in_fork()
        if not self.loaded:
            self._read(find_checkpoint(self.name, revision=self.revision))

    def initialize(self) -> None:
        """Load, for training: settings of how it learns are warned of where it does not learn."""
        self.load()
        given = {
            "lora": self._configured_lora is not None,
            "trainable_layers": not self.schedule.is_everything,
            "layer_factor": self.layer_factor != 1,
        }
        idle = [name for name, is_given in given.items() if is_given]
        if not self.train_transformer and idle:
            warnings.warn(
                f"Got {' and '.join(idle)} with train_transformer = false: nothing of the transformer learns. "
                "Leave train_transformer out to train it as they say.",
                BloomWarning,
                stacklevel=2,
            )

    def hidden_size(self) -> int | None:
        """RETURNS (int | None): Of the model, or of the named checkpoint as far as it can be known without
        loading weights or asking the network.
        """
        if self.loaded:
            return self._model.config.hidden_size
        try:
            path = find_checkpoint(self.name, revision=self.revision, local_files_only=True, weights=False)
            return BloomConfig.from_json_file(path / CONFIG_FILE).hidden_size
        except (CheckpointError, ConfigError):
            return None  # a saved pipeline has its own weights and does not need the checkpoint any more

    def predict(self, inputs: Any) -> torch.Tensor:
        """RETURNS (Tensor): Last hidden states of packed (ids, lengths). Shape (pieces, hidden_size)."""
        self.module.eval()
        with torch.inference_mode():
            return self._encode(*inputs)

    def begin_update(self, inputs: Any) -> tuple[torch.Tensor, Any]:
        """RETURNS (tuple[Tensor, Callable]): As `predict`, and a callback that takes the gradient of it."""
        self._prepare()
        hidden = self._encode(*inputs)

        def backprop(gradient: torch.Tensor) -> None:
            hidden.backward(gradient.to(hidden))

        return hidden, backprop

    def _prepare(self) -> None:
        """Let what is to learn in this step learn: weights of its own, or adapters."""
        layers = self._trainable_layers
        if layers != 0 and self.lora is None:
            own_weights(self.module)
        elif layers != 0 and not has_lora(self.module):
            assert self.lora is not None
            add_lora(self.module, self.lora)
        set_trainable_layers(self.module, layers)
        if self.lora is not None:
            freeze_base(self.module)
        self.module.train(layers != 0)

    def _encode(self, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """RETURNS (Tensor): Last hidden states, or mixtures of all. Shape (pieces, hidden_size)."""
        module, ids = self.module, ids.to(self.module.device)
        if self._mix is None:
            return module.encode_packed(ids, lengths, bidirectional_layers=self.bidirectional_layers)
        states = module.hidden_states_packed(ids, lengths, bidirectional_layers=self.bidirectional_layers)
        return self._mix(states)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Change the weights by their gradients. The optimizer works in float32: where weights have fewer
        bits, they are rounded from a copy that does not lose small changes.

        Each layer's learning rate is scaled here, where the optimizer is called weight by weight: scaling gradients
        instead would change nothing under Adam, which divides by their size.
        """
        if not self.loaded:
            return
        learns = self.learns
        self._steps += 1
        if not learns:
            return  # gradients of 0 are left from the last step that learnt, and an optimizer has momentum
        if self.layer_factor != 1 and optimizer.use_radam:
            raise ConfigError(
                f"Got layer_factor = {self.layer_factor} and the optimizer RAdam.v1, which takes no factors of the "
                "learning rate. Set layer_factor = 1, or take Adam.v1."
            )
        n_layer = self._model.config.n_layer
        for name, weight in self._weights():
            if weight.grad is None:
                continue
            self._digest = None  # the optimizer writes into the same memory
            depth = 0 if name.startswith(MIX) else layer_depth(name, n_layer)
            exact = weight.dtype == torch.float32
            master = weight.data if exact else self._masters.setdefault(name, weight.data.float())
            changed, _ = optimizer(
                (self.id, name),
                torch2xp(master),
                torch2xp(weight.grad.float()),
                lr_scale=self.layer_factor**depth,
            )
            changed = xp2torch(changed, device=weight.device)
            if exact:
                weight.data = changed
            else:
                master.copy_(changed)
                weight.data.copy_(changed)
            weight.grad.zero_()
        if self._steps % TRIM_EVERY == 0 and self._model.device.type == "cpu":
            give_back_free_memory()

    def _weights(self) -> list[tuple[str, torch.nn.Parameter]]:
        """RETURNS (list[tuple[str, Parameter]]): All that may learn, by the names that optimizers know it by."""
        mix = [] if self._mix is None else self._mix.named_parameters(prefix=MIX)
        return [*self._model.named_parameters(), *mix]

    @contextmanager
    def use_params(self, params: dict) -> Iterator[None]:
        """Compute with other weights inside: the averages of an optimizer that keeps some, by its keys."""
        own = []
        for name, weight in self._weights() if self.loaded else []:
            if (self.id, name) in params:
                own.append((weight, weight.data))
                weight.data = xp2torch(params[self.id, name], device=weight.device).to(weight.dtype)
        if own:
            self._digest = None  # an optimizer changes its averages in place
        try:
            yield
        finally:
            for weight, data in own:
                weight.data = data
            if own:
                self._digest = None

    def copy(self) -> "BloomShim":
        """RETURNS (BloomShim): A copy with weights of its own, and an id, by which optimizers know them."""
        copied = super().copy()
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def identity(self) -> str:
        """RETURNS (str): A digest of config and weights, read anew when weights may have changed."""
        weights = dict(self.module.named_parameters())
        state = tuple((id(w), w.data_ptr(), w._version) for w in weights.values())
        if self._digest is None or self._digest[0] != state:
            digest = hashlib.sha256(self.module.config.to_json_string().encode("utf8"))
            digest.update(repr(self.lora if has_lora(self.module) else None).encode())
            for name, weight in weights.items():
                digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
                digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
            self._digest = state, digest.hexdigest()
        return self._digest[1]

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded; later they load onto the device of thinc's ops."""
        if self.loaded:
            super().to_device(device_type, device_id)
            if self._mix is not None:
                self._mix.to(self._model.device)

    def to_disk(self, path: str | Path) -> None:
        """Write a checkpoint in the Hugging Face layout.

        path (str | Path): Directory, made if it does not exist.
        """
        self._saved().to_disk(Path(path))

    def _saved(self) -> SavedModel:
        return SavedModel(self.module, self.tokenizer, self.storage_dtype, self.lora, self._mix)

    def from_disk(self, path: str | Path) -> "BloomShim":
        """Map a checkpoint's weights into memory. RETURNS (BloomShim): The shim itself."""
        self._read(find_checkpoint(Path(path).absolute()))  # a relative path could be a name on the Hub
        return self

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Config, tokenizer and weights in one.
        RAISES (CheckpointError): They are too large for spaCy's format; write them to disk instead.
        """
        return self._saved().to_bytes()

    def from_bytes(self, bytes_data: bytes) -> "BloomShim":
        """RETURNS (BloomShim): The shim itself, with what `to_bytes` has written.
        RAISES (CheckpointError): The bytes are damaged, or the weights are not what the config says.
        """
        parts = ModelParts.from_bytes(bytes_data)
        model = load_model(
            self.model_class,
            parts.config,
            TensorSource(parts.weights),
            dtype=self.dtype,
            device=get_torch_default_device(),
            new_head=False,
        )
        adapters = None
        if parts.adapter is not None:
            shapes = {name: tuple(value.shape) for name, value in parts.adapter.items()}
            read = parts.adapter.__getitem__
            adapters = set_adapter(model, parts.adapter_config, shapes, read, "the bytes")
        self._follow(adapters)
        self._set(model, parts.tokenizer)
        if self._mix is not None and parts.mix is not None:
            self._mix.from_bytes(parts.mix, "the bytes")
        if parts.generation is not None:
            model.generation_config = parts.generation
        return self

    def _read(self, path: Path) -> None:
        device = get_torch_default_device()
        origin = Origin.of(path, self.dtype, device)
        config = BloomConfig.from_json_file(path / CONFIG_FILE)
        shares = self.read_only and config.tie_word_embeddings
        weights = weights_in_memory(origin) if shares else None
        model = self.model_class.from_directory(
            path, config, dtype=self.dtype, device=device, weights=weights
        )
        hold_weights(model, origin, read_only=self.read_only)
        adapters = None
        if not isinstance(model, BloomModel):
            warn_of_adapter(path)
        elif has_adapter(path):
            adapters = read_adapter(model, path)
        self._follow(adapters)
        self._set(model, BloomTokenizerFast.from_directory(path))
        if self._mix is not None:
            self._mix.from_disk(path)

    def _follow(self, adapters: LoraSettings | None) -> None:
        """Go on with the adapters that were read, as they are; without any, as the config says."""
        self.lora = self._configured_lora
        if adapters is not None:
            self.lora = replace(adapters, merge=self.lora is not None and self.lora.merge)

    def _set(self, model: BloomModel, tokenizer: BloomTokenizerFast) -> None:
        if (self._bidirectional_layers or 0) > model.config.n_layer:
            raise ConfigError(
                f"Expected bidirectional_layers of at most {model.config.n_layer}, which the model has, got "
                f"{self._bidirectional_layers}. Leave it out for all."
            )
        if len(tokenizer) > model.config.vocab_size:
            raise CheckpointError(
                f"Got a tokenizer of {len(tokenizer)} pieces and a model of {model.config.vocab_size} "
                "embedding rows. Expected both from one checkpoint."
            )
        self.schedule.check(model.config.n_layer)
        if self.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        self._model, self._tokenizer = model, tokenizer
        self._mix = LayerMix(model.config.n_layer).to(model.device) if self.mix_layers else None
        self._masters = {}
        self._digest = None


def _check_attention(attention: str, layers: int | None) -> None:
    if attention not in ATTENTIONS:
        raise ConfigError(f"Expected attention to be one of {', '.join(ATTENTIONS)}, got {attention!r}.")
    if layers is not None and (attention == "causal" or layers < 1):
        raise ConfigError(
            'Expected bidirectional_layers of 1 or more with attention = "bidirectional", or null for all layers; '
            f"got {layers} with attention = {attention!r}."
        )
