"""BLOOM in JAX: flax.nnx inside, the interface of Hugging Face's Flax classes outside."""

try:
    import flax  # noqa: F401
    import jax  # noqa: F401
    import optax  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"BLOOM in JAX needs jax, flax and optax, and there is no {error.name}. Install them with "
        "`pip install spacy-bloom[jax]`.",
        name=error.name,
    ) from error

from .cache import KeyValueCache
from .causal_lm import FlaxBloomForCausalLM, FlaxBloomGenerateOutput
from .model import FlaxBloomCausalLMOutput, FlaxBloomModelOutput
from .pretrained import FlaxBloomModel, FlaxBloomPreTrainedModel
from .training import TrainState, lm_loss, train_step

__all__ = [
    "FlaxBloomCausalLMOutput",
    "FlaxBloomForCausalLM",
    "FlaxBloomGenerateOutput",
    "FlaxBloomModel",
    "FlaxBloomModelOutput",
    "FlaxBloomPreTrainedModel",
    "KeyValueCache",
    "TrainState",
    "lm_loss",
    "train_step",
]
