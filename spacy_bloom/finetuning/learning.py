"""What learns in a transformer, and how fast."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..bloom.model import BloomModel
from ..checkpoint.quantized import quantization_method
from ..errors import ConfigError
from .layerwise import LayerSchedule, layer_depth, set_trainable_layers
from .lora import LoraSettings, add_lora, freeze_base, has_lora


@dataclass(frozen=True)
class LearningSettings:
    """How a transformer learns.

    train_transformer (bool): Whether its weights learn at all.
    trainable_layers (int | Mapping[str, int | None] | None): Which layers learn, see `LayerSchedule`.
    layer_factor (float): Factor of the learning rate from each layer to the one below it.
    lora (LoraSettings | None): Adapters that learn instead of the weights.
    mix_layers (bool): Whether a mixture of all layers' states learns, even if nothing else does.
    gradient_checkpointing (bool): Recompute activations in the backward pass: less memory, more time.
    sparse_embeddings (bool): A step changes only the rows of the embedding that its batch has read. An optimizer's
        momentum of the others stands still.
    RAISES (ConfigError): A value is out of range.
    """

    train_transformer: bool = True
    trainable_layers: int | Mapping[str, int | None] | None = None
    layer_factor: float = 1.0
    lora: LoraSettings | None = None
    mix_layers: bool = False
    gradient_checkpointing: bool = False
    sparse_embeddings: bool = False
    schedule: LayerSchedule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", LayerSchedule(self.trainable_layers))
        if not 0.0 < self.layer_factor <= 1.0:
            raise ConfigError(f"Expected layer_factor above 0 and at most 1, got {self.layer_factor}.")

    def layers_at(self, step: int) -> int | None:
        """RETURNS (int | None): How many of the last layers learn in a step; None is everything."""
        return self.schedule.at(step) if self.train_transformer else 0

    def learns_at(self, step: int) -> bool:
        """RETURNS (bool): Whether anything learns in a step."""
        return self.mix_layers or self.layers_at(step) != 0

    def rate_factor(self, name: str, n_layer: int) -> float:
        """RETURNS (float): Factor of the learning rate of a weight, by its name in `BloomModel.named_parameters`."""
        return self.layer_factor ** layer_depth(name, n_layer)

    @property
    def idle(self) -> list[str]:
        """RETURNS (list[str]): Settings without effect, because the transformer does not learn."""
        given = {
            "lora": self.lora is not None,
            "trainable_layers": not self.schedule.is_everything,
            "layer_factor": self.layer_factor != 1,
        }
        return [] if self.train_transformer else [name for name, is_given in given.items() if is_given]


def let_learn(
    model: BloomModel, layers: int | None, lora: LoraSettings | None, *, sparse_embeddings: bool = False
) -> None:
    """Prepare a model for one step: what is to learn gets gradients, and nothing else does.

    layers (int | None): How many of the last layers learn; None is everything.
    lora (LoraSettings | None): Adapters that learn in place of the weights; added to the model if it has none.
    sparse_embeddings (bool): Whether the embedding's gradient is sparse: of the rows that were read.
    RAISES (ConfigError): Quantised weights were to learn.
    """
    if layers != 0 and lora is None and quantization_method(model.config) is not None:
        raise ConfigError(
            "Got a transformer with quantised weights, which cannot learn. Train adapters beside them (lora = {}) or "
            "only what listens (train_transformer = false), or train in float and quantise afterwards."
        )
    if layers != 0 and lora is not None and not has_lora(model):
        add_lora(model, lora)
    set_trainable_layers(model, layers)
    if lora is not None:
        freeze_base(model)
    model.word_embeddings.sparse = sparse_embeddings
    model.train(layers != 0)
