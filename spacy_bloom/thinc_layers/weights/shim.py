"""A shim whose weights learn."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Protocol, TypeVar

import torch
from thinc.api import Optimizer, xp2torch
from torch import Tensor, nn
from typing_extensions import Self

from ...bloom.model import BloomModel
from ...errors import BloomWarning, ConfigError
from ...finetuning.learning import LearningSettings, let_learn
from ...finetuning.lora import LoraSettings
from ...finetuning.optimizer_step import OptimizerStep
from .adam import optimize
from .checkpoint_shim import CheckpointShim
from .digest import WeightsDigest
from .encoder import BloomEncoder
from .heap import give_back_free_memory
from .layer_mix import LayerMix
from .saved_model import MIX, SavedModel
from .settings import AttentionSettings, WeightSettings
from .sharing import own_weights

T = TypeVar("T")
# Updates after which free memory goes back to the system: after each update it would cost an eighth of the time.
TRIM_EVERY = 32


class Pending(Protocol):
    """A step of training that is not over."""

    def settle(self) -> None:
        """Bring the weights up to date: somebody is about to see them."""

    def close(self) -> None:
        """As `settle`, for good."""


class BloomShim(CheckpointShim):
    """Holds an encoder that can learn. Nobody sees its weights in the middle of a step: what is pending is settled
    first.

    weights (WeightSettings): Which weights, in which dtypes.
    attention (AttentionSettings): In which direction pieces attend.
    learning (LearningSettings): What learns, and how fast. Adapters are put in by the first update.
    """

    model_class = BloomModel
    read_only = False

    def __init__(
        self,
        weights: WeightSettings,
        attention: AttentionSettings = AttentionSettings(),
        learning: LearningSettings = LearningSettings(),
    ) -> None:
        super().__init__(weights)
        self.attention = attention
        self.learning = learning
        self.lora: LoraSettings | None = learning.lora
        self._n_steps = 0
        self._step = OptimizerStep()
        self._digest = WeightsDigest()
        self.pending: Pending | None = None

    @classmethod
    def from_config(cls, arguments: Mapping[str, Any]) -> Self:
        """arguments (Mapping[str, Any]): Of a registered architecture, where all settings stand side by side.
        RETURNS (BloomShim): The shim; arguments that are no settings of it are passed over.
        """

        def settings(kind: type[T], **values: Any) -> T:
            names = {field.name for field in fields(kind) if field.init}  # type: ignore[arg-type]
            return kind(**{name: value for name, value in {**arguments, **values}.items() if name in names})

        lora = LoraSettings.from_config(arguments["lora"])
        learning = settings(LearningSettings, lora=lora)
        return cls(settings(WeightSettings), settings(AttentionSettings), learning)

    def __getstate__(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What is copied and pickled."""
        self._close_pending()
        return super().__getstate__()

    def _close_pending(self) -> None:
        if self.pending is not None:
            self.pending.close()

    @property
    def learns(self) -> bool:
        """RETURNS (bool): Whether an update may change weights; if not, none are to be begun."""
        return self.learning.learns_at(self._n_steps)

    @property
    def encoder(self) -> BloomEncoder:
        """RETURNS (BloomEncoder): The encoder, loaded now if it was not."""
        if self.pending is not None:
            self.pending.settle()
        self.load()
        return self._model

    @property
    def module(self) -> BloomModel:
        """RETURNS (BloomModel): The decoder, loaded now if it was not."""
        return self.encoder.decoder

    @property
    def digest(self) -> str:
        """RETURNS (str): A digest of config and weights."""
        return self._digest.of(self.module, self.lora)

    def initialize(self) -> None:
        """Load, for training. Warns of settings of how it learns, if it does not."""
        self.load()
        if self.learning.idle:
            warnings.warn(
                f"Got {' and '.join(self.learning.idle)} with train_transformer = false: nothing of the transformer "
                "learns. Leave train_transformer out to train it as they say.",
                BloomWarning,
                stacklevel=2,
            )

    def predict(self, inputs: Any) -> Tensor:
        """RETURNS (Tensor): Vectors of packed (ids, lengths). Shape (pieces, hidden_size)."""
        encoder = self.encoder.eval()
        with torch.inference_mode():
            return encoder(*inputs)

    def begin_update(self, inputs: Any) -> tuple[Tensor, Callable[[Tensor], None]]:
        """RETURNS (tuple[Tensor, Callable]): As `predict`, and a callback that takes the gradient of it."""
        layers = self.learning.layers_at(self._n_steps)
        if layers != 0 and self.lora is None:
            own_weights(self.module)
        let_learn(self.module, layers, self.lora, sparse_embeddings=self.learning.sparse_embeddings)
        hidden = self.encoder(*inputs)

        def backprop(gradient: Tensor) -> None:
            hidden.backward(gradient.to(hidden))

        return hidden, backprop

    def finish_update(self, optimizer: Optimizer) -> None:
        """Change the weights by their gradients."""
        if not self.loaded:
            return
        learns = self.learns
        self._n_steps += 1
        if not learns:
            return
        if self.learning.layer_factor != 1 and optimizer.use_radam:
            raise ConfigError(
                f"Got layer_factor = {self.learning.layer_factor} and the optimizer RAdam.v1, which takes no factors "
                "of the learning rate. Set layer_factor = 1, or use Adam.v1."
            )

        def change(name: str, weight: Tensor, gradient: Tensor, factor: float) -> Tensor:
            return optimize(optimizer, (self.id, name), weight, gradient, factor)

        n_layer = self.module.config.n_layer
        rates = self.learning.rate_factor
        decoder = [(n, w, rates(n, n_layer)) for n, w in self.module.named_parameters()]
        self._step([*decoder, *((n, w, 1.0) for n, w in self._mix_weights())], change)
        self._digest.forget()
        if self._n_steps % TRIM_EVERY == 0 and self.module.device.type == "cpu":
            give_back_free_memory()

    def named_weights(self) -> list[tuple[str, nn.Parameter]]:
        """RETURNS (list[tuple[str, Parameter]]): All that may learn, by the names that optimizers know it by."""
        return [*self.module.named_parameters(), *self._mix_weights()]

    def _mix_weights(self) -> list[tuple[str, nn.Parameter]]:
        mix = self.encoder.layer_mix
        return [] if mix is None else list(mix.named_parameters(prefix=MIX))

    @contextmanager
    def use_params(self, params: dict) -> Iterator[None]:
        """Compute with other weights inside: the averages of an optimizer that keeps some, by its keys."""
        own = []
        for name, weight in self.named_weights() if self.loaded else []:
            if (self.id, name) in params:
                own.append((weight, weight.data))
                weight.data = xp2torch(params[self.id, name], device=weight.device).to(weight.dtype)
        if own:
            self._digest.forget()  # an optimizer changes its averages in place
        try:
            yield
        finally:
            for weight, data in own:
                weight.data = data
            if own:
                self._digest.forget()

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded."""
        self._close_pending()
        super().to_device(device_type, device_id)

    def _build(self, saved: SavedModel) -> BloomEncoder:
        self._close_pending()
        n_layer, device = saved.module.config.n_layer, saved.module.device
        layers = self.attention.layers_of(n_layer)
        self.learning.schedule.check(n_layer)
        mix = LayerMix(n_layer).to(device) if self.learning.mix_layers else None
        if mix is not None and saved.mix is not None:
            mix.from_bytes(saved.mix, saved.where)
        if self.learning.gradient_checkpointing:
            saved.module.gradient_checkpointing_enable()
        # Adapters that were read go on as they are; only whether to merge them is the config's to say.
        self.lora = own = self.learning.lora
        if saved.lora is not None:
            self.lora = replace(saved.lora, merge=own is not None and own.merge)
        self._step = OptimizerStep()
        self._digest.forget()
        return BloomEncoder(saved.module, bidirectional_layers=layers, mix=mix)

    def _saved(self) -> SavedModel:
        mix = self.encoder.layer_mix
        return SavedModel(self.module, self.tokenizer, self.lora, None if mix is None else mix.to_bytes())
