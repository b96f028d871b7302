"""Language-model training: a loss, and a step with any optimizer of optax, on one device or a mesh."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ..bloom.losses import IGNORED_LABEL
from ..config import BloomConfig
from .block import Key
from .causal_lm import FlaxBloomForCausalLM
from .inputs import to_batch
from .model import LanguageModel, Params, bind
from .placement import place_rows

# Columns whose logits exist at once: with 250,880 pieces, 64 columns of 8 rows are half a gigabyte.
CHUNK = 64


@struct.dataclass
class TrainState:
    """What a step changes.

    params (dict[str, jax.Array]): The weights.
    opt_state (Any): The optimizer's; each part lies where its weight does.
    step (jax.Array): Steps that were taken. Shape (), int32.
    """

    params: Params
    opt_state: Any
    step: jax.Array

    @classmethod
    def create(cls, model: FlaxBloomForCausalLM, optimizer: optax.GradientTransformation) -> "TrainState":
        """RETURNS (TrainState): To begin with. It takes the model's weights over: a step gives up their memory."""
        return cls(model.params, optimizer.init(model.params), jnp.zeros((), jnp.int32))


def lm_loss(
    config: BloomConfig,
    params: Params,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    labels: jax.Array,
    *,
    dropout_rng: Key = None,
    remat: bool = False,
) -> jax.Array:
    """Mean cross entropy of the next piece, in nats; to be called while JAX traces. Logits are computed a few columns
    at a time, in the backward pass again, so that those of a whole batch never exist.

    input_ids, attention_mask (jax.Array): Shape (batch, length), int32.
    labels (jax.Array): Usually input_ids; shifted here. -100 is ignored. Shape (batch, length).
    dropout_rng (jax.Array | None): Key for dropout; None for none.
    remat (bool): Compute each block again in the backward pass instead of keeping its activations.
    RETURNS (jax.Array): Shape (), float32.
    """
    model = bind(LanguageModel, config, params)
    output = model.transformer(input_ids, attention_mask, key=dropout_rng, remat=remat)
    length = labels.shape[1]
    fill = ((0, 0), (0, -(length - 1) % CHUNK))
    hidden = jnp.pad(output.last_hidden_state[:, :-1], (*fill, (0, 0)))
    labels = jnp.pad(labels[:, 1:], fill, constant_values=IGNORED_LABEL)

    @jax.checkpoint
    def add_chunk(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        columns = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=CHUNK, axis=1)
        logits = model.logits(columns(hidden)).astype(jnp.float32)  # (batch, CHUNK, vocab_size)
        return total + _sum_nll(logits, columns(labels)), None

    total, _ = jax.lax.scan(add_chunk, jnp.zeros(()), jnp.arange(0, hidden.shape[1], CHUNK))
    return total / jnp.maximum((labels != IGNORED_LABEL).sum(), 1)


def _sum_nll(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """RETURNS (jax.Array): Summed negative log-likelihood of the labels that are not ignored. Shape ()."""
    # A comparison instead of a look-up: where devices share the vocabulary, each finds the labels in its part.
    is_label = jnp.arange(logits.shape[-1]) == labels[..., None]
    scores = jnp.where(is_label, logits, 0.0).sum(axis=-1)
    nll = jax.nn.logsumexp(logits, axis=-1) - scores
    return jnp.where(labels == IGNORED_LABEL, 0.0, nll).sum()


@partial(jax.jit, static_argnames=("config", "optimizer", "remat"), donate_argnames=("state",))
def update(
    config: BloomConfig,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batch: tuple[jax.Array, jax.Array, jax.Array],
    dropout_rng: Key,
    *,
    remat: bool,
) -> tuple[TrainState, jax.Array]:
    """`train_step` as a pure function, compiled once for each shape of a batch: ids, mask and labels."""
    key = None if dropout_rng is None else jax.random.fold_in(dropout_rng, state.step)
    loss, gradients = jax.value_and_grad(
        lambda params: lm_loss(config, params, *batch, dropout_rng=key, remat=remat)
    )(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    return TrainState(optax.apply_updates(state.params, updates), opt_state, state.step + 1), loss


def train_step(
    model: FlaxBloomForCausalLM,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    input_ids: Any,
    *,
    attention_mask: Any = None,
    labels: Any = None,
    dropout_rng: Key = None,
    remat: bool = True,
) -> tuple[TrainState, jax.Array]:
    """Take one step on the language model's loss. On a mesh, rows are shared out over "data" and weights, gradients and
    the optimizer's state over "model".

    model (FlaxBloomForCausalLM): Config and mesh; its own weights are not read.
    optimizer (optax.GradientTransformation): The same object at every step; another one is compiled anew.
    state (TrainState): Given up: use the new one from here on.
    input_ids, attention_mask (Array): As for a call of the model; keep to few lengths, each is compiled.
        Shape (batch, length).
    labels (Array | None): Shifted in here, -100 is ignored; None for the ids without padding. Shape (batch, length).
    dropout_rng (jax.Array | None): Key for dropout, the same at every step; None for none.
    remat (bool): Compute each block again in the backward pass instead of keeping its activations.
    RETURNS (tuple[TrainState, jax.Array]): The new state; the loss before the step, in nats, shape ().
    """
    ids, mask = to_batch(model.config, input_ids, attention_mask)
    labels = jnp.where(mask != 0, ids, IGNORED_LABEL) if labels is None else jnp.asarray(labels, jnp.int32)
    batch = place_rows(model.mesh, (ids, mask, labels))
    return update(model.config, optimizer, state, batch, dropout_rng, remat=remat)
