"""What changes the scores of the next piece, and the draw."""

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Choice:
    """How the next piece is chosen, by options of GenerationConfig. Numbers can change without a new compilation; what
    is marked as no pytree node, and whether a number is None, cannot.

    vocabulary (int): Pieces that may be generated: those of the tokenizer.
    ends (tuple[int, ...]): Pieces that end a sequence.
    fill (int): What follows the end.
    keep (int): Pieces that are drawn from at least.
    do_sample, top_k, temperature, top_p, min_new_tokens, min_length: As in GenerationConfig; None without effect.
    """

    vocabulary: int = struct.field(pytree_node=False)
    ends: tuple[int, ...] = struct.field(pytree_node=False)
    fill: int = struct.field(pytree_node=False)
    keep: int = struct.field(pytree_node=False)
    do_sample: bool = struct.field(pytree_node=False)
    top_k: int = struct.field(pytree_node=False)
    temperature: float
    top_p: float | None
    min_new_tokens: int | None
    min_length: int | None

    def is_end(self, pieces: jax.Array) -> jax.Array:
        """RETURNS (jax.Array): Whether pieces end their sequences. Shape of pieces."""
        return jnp.isin(pieces, jnp.array(self.ends, jnp.int32))

    def adjust(self, scores: jax.Array, step: jax.Array, prompt_lengths: jax.Array) -> jax.Array:
        """
        scores (jax.Array): float32. Shape (rows, vocab_size).
        step (jax.Array): Pieces that were added before. Shape ().
        prompt_lengths (jax.Array): Pieces of each prompt. Shape (rows,).
        RETURNS (jax.Array): -inf for what must not follow; if pieces are drawn, for what is not drawn from too.
        """
        scores = jnp.where(jnp.arange(scores.shape[-1]) < self.vocabulary, scores, -jnp.inf)
        scores = self._forbid_early_ends(scores, step, prompt_lengths)
        if not self.do_sample:
            return scores
        scores = scores / self.temperature
        if self.top_k:
            scores = keep_top_k(scores, max(self.top_k, self.keep))
        return scores if self.top_p is None else keep_top_p(scores, self.top_p, self.keep)

    def _forbid_early_ends(self, scores: jax.Array, step: jax.Array, prompt_lengths: jax.Array) -> jax.Array:
        missing = jnp.zeros_like(prompt_lengths)  # (rows,)
        if self.min_new_tokens is not None:
            missing = missing + self.min_new_tokens - step
        if self.min_length is not None:
            missing = missing + self.min_length - prompt_lengths - step
        early = self.is_end(jnp.arange(scores.shape[-1])) & (missing > 0)[:, None]  # (rows, vocab_size)
        return jnp.where(early, -jnp.inf, scores)


def keep_top_k(scores: jax.Array, top_k: int) -> jax.Array:
    """RETURNS (jax.Array): -inf for all but the best pieces, and those that are as good as the last of them.
    scores (jax.Array): Shape (rows, vocab_size).
    """
    best = jax.lax.top_k(scores, min(top_k, scores.shape[-1]))[0]  # (rows, top_k)
    return jnp.where(scores < best[:, -1:], -jnp.inf, scores)


def keep_top_p(scores: jax.Array, top_p: jax.Array | float, keep: int) -> jax.Array:
    """RETURNS (jax.Array): -inf for all but the fewest best pieces that together have the probability top_p.
    scores (jax.Array): Shape (rows, vocab_size).
    keep (int): Pieces that are kept at least.
    SOURCE: https://arxiv.org/abs/1904.09751
    """
    order = jnp.argsort(scores, axis=-1)  # the least probable first, as Hugging Face sums
    reached = jnp.cumsum(jax.nn.softmax(jnp.take_along_axis(scores, order, axis=-1), axis=-1), axis=-1)
    removed = (reached <= 1.0 - top_p).at[:, -keep:].set(False)
    return jnp.where(jnp.take_along_axis(removed, jnp.argsort(order, axis=-1), axis=-1), -jnp.inf, scores)


def gumbel(keys: jax.Array, step: jax.Array, size: int) -> jax.Array:
    """Random numbers that make of the best scores drawn ones: the best sum is a draw, the best few are distinct draws.

    keys (jax.Array): Of each row; what is drawn at a step depends on nothing else. Shape (rows,).
    step (jax.Array): Shape ().
    RETURNS (jax.Array): Shape (rows, size), float32.
    SOURCE: Kool et al. 2019 (arXiv 1903.06059).
    """
    return jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, step), (size,)))(keys)
