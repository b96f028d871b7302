"""Beam search, compiled: the best sequences instead of the best next pieces. The rules are those of
`generation/beams.py`, prompt by prompt.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from ..config import BloomConfig
from .cache import KeyValueCache
from .decoding import Prompts, last_logits, prefill
from .model import LanguageModel, Params, bind
from .scores import Choice, gumbel


@struct.dataclass
class Search:
    """Which sequences are better. Fields as in GenerationConfig."""

    num_beams: int = struct.field(pytree_node=False)
    early_stopping: bool | str = struct.field(pytree_node=False)
    length_penalty: float


class _State(NamedTuple):
    """Beams that go on, the best first, and the best finished ones; scores are -inf where there is none."""

    step: jax.Array  # ()
    logits: jax.Array  # (batch, beams, vocab_size)
    pieces: jax.Array  # (batch, beams, room)
    scores: jax.Array  # (batch, beams)
    best: jax.Array  # (batch, beams, room)
    best_scores: jax.Array  # (batch, beams)
    done: jax.Array  # (batch,)
    cache: KeyValueCache  # of batch * beams rows


class _Candidates(NamedTuple):
    """Beams with one piece more, the best first or in the order of drawing. Shapes (batch, candidates, ...)."""

    beam: jax.Array
    pieces: jax.Array  # (batch, candidates, room)
    scores: jax.Array  # -inf where nothing may follow
    finished: jax.Array


@partial(jax.jit, static_argnames=("config", "room"))
def beam_search(
    config: BloomConfig, params: Params, prompts: Prompts, *, choice: Choice, search: Search, room: int
) -> tuple[jax.Array, jax.Array]:
    """Follow num_beams sequences of every prompt.

    choice (Choice): What may follow.
    search (Search): Which sequences are better.
    room (int): Most pieces that can be added; the limits of the prompts are at most that.
    RETURNS (tuple[jax.Array, jax.Array]): What was added, then filling, the best first, and its log-probability divided
        by its length to the power of length_penalty; -inf where constraints leave fewer sequences. Shapes
        (batch, num_beams, room) and (batch, num_beams).
    """
    model = bind(LanguageModel, config, params)
    logits, cache = prefill(model, config, prompts, room)
    batch, beams = len(prompts.limits), search.num_beams
    first = jnp.arange(beams)[None, :] == 0  # there is one sequence at the start

    def advance(state: _State) -> _State:
        candidates = _find_candidates(state, prompts, choice)
        best, best_scores = _finish(state, candidates, search)
        scores, places = jax.lax.top_k(jnp.where(candidates.finished, -jnp.inf, candidates.scores), beams)
        pieces = _take(candidates.pieces, places)
        rows = (jnp.arange(batch)[:, None] * beams + _take(candidates.beam, places)).reshape(-1)
        n = state.step + 1
        done = state.done | ~_can_improve(scores, best_scores, n, prompts.limits, search)
        logits, cache = last_logits(
            model,
            pieces[:, :, state.step].reshape(-1, 1),
            jnp.ones((batch * beams, 1), jnp.int32),
            state.cache.map_rows(lambda array: array[rows]),
        )
        return _State(n, logits.reshape(batch, beams, -1), pieces, scores, best, best_scores, done, cache)

    empty = jnp.full((batch, beams, room), choice.fill, jnp.int32)
    state = _State(
        step=jnp.zeros((), jnp.int32),
        logits=jnp.repeat(logits[:, None], beams, axis=1),
        pieces=empty,
        scores=jnp.where(jnp.repeat(first, batch, axis=0), 0.0, -jnp.inf),
        best=empty,
        best_scores=jnp.full((batch, beams), -jnp.inf),
        done=jnp.zeros(batch, bool),
        cache=cache.map_rows(lambda array: jnp.repeat(array, beams, axis=0)),
    )
    state = jax.lax.while_loop(lambda state: ~state.done.all(), advance, state)
    return state.best, state.best_scores


def _find_candidates(state: _State, prompts: Prompts, choice: Choice) -> _Candidates:
    batch, beams, vocab_size = state.logits.shape
    log_probabilities = jax.nn.log_softmax(state.logits, axis=-1).reshape(batch * beams, vocab_size)
    log_probabilities = choice.adjust(log_probabilities, state.step, jnp.repeat(prompts.lengths, beams))
    total = (log_probabilities.reshape(state.logits.shape) + state.scores[:, :, None]).reshape(batch, -1)
    # Enough for num_beams that go on, should all others end.
    count = min(max(2, 1 + len(choice.ends)) * beams, beams * vocab_size)
    noise = gumbel(prompts.keys, state.step, total.shape[-1]) if choice.do_sample else 0.0
    _, places = jax.lax.top_k(total + noise, count)  # (batch, count)
    scores = _take(total, places)
    beam, piece = places // vocab_size, (places % vocab_size).astype(jnp.int32)
    pieces = _take(state.pieces, beam).at[:, :, state.step].set(piece)
    last = (state.step + 1 >= prompts.limits)[:, None]
    return _Candidates(beam, pieces, scores, choice.is_end(piece) | last)


def _finish(state: _State, candidates: _Candidates, search: Search) -> tuple[jax.Array, jax.Array]:
    """RETURNS (tuple[jax.Array, jax.Array]): The best finished sequences and their scores, with what ends now and is
    among the best num_beams candidates. Searches that are done keep theirs.
    """
    beams = search.num_beams
    scores = candidates.scores[:, :beams] / (state.step + 1.0) ** search.length_penalty
    scores = jnp.where(candidates.finished[:, :beams] & ~state.done[:, None], scores, -jnp.inf)
    best_scores, places = jax.lax.top_k(jnp.concatenate((state.best_scores, scores), axis=1), beams)
    return _take(jnp.concatenate((state.best, candidates.pieces[:, :beams]), axis=1), places), best_scores


def _can_improve(
    scores: jax.Array, best_scores: jax.Array, n: jax.Array, limits: jax.Array, search: Search
) -> jax.Array:
    """Whether a sequence that goes on may get better than a finished one; a guess unless early_stopping is "never".

    scores, best_scores (jax.Array): Of those that go on, and of the finished. Shape (batch, num_beams).
    n (jax.Array): Pieces of those that go on. Shape ().
    RETURNS (jax.Array): Shape (batch,), bool.
    """
    goes_on = scores[:, 0] > -jnp.inf
    is_full = best_scores[:, -1] > -jnp.inf
    if search.early_stopping is True:
        return goes_on & ~is_full
    # "never" asks whether the best can still win, which a penalty above 0 makes likeliest at the last piece.
    is_last = (search.length_penalty > 0) & (search.early_stopping == "never")
    length = jnp.where(is_last, limits, n).astype(jnp.float32)
    return goes_on & (~is_full | (scores[:, 0] / length**search.length_penalty > best_scores[:, -1]))


def _take(array: jax.Array, places: jax.Array) -> jax.Array:
    """RETURNS (jax.Array): Of each row what stands at its places. Shape (batch, places, ...)."""
    return jax.vmap(lambda row, at: row[at])(array, places)
