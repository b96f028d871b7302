"""Loss and decoding of whole sequences of tags, with learned scores of one tag after another."""

from collections.abc import Iterator, Sequence

import numpy
from numpy.typing import NDArray
from thinc.api import Model
from thinc.types import Floats1d, Floats2d

from ...thinc_layers import crf
from .decoding import Prediction, no_tokens
from .gold_tags import MISSING
from .tag_scheme import TagScheme

# Tags of padded texts that are worked on at once: as many float32 numbers in each of a few arrays per step.
MAX_PADDED = 2**16
TINY = 1e-12  # a probability that has a logarithm


def sequence_loss(
    transitions: Model,
    scheme: TagScheme | None,
    logits: Sequence[Floats2d],
    gold: Sequence[NDArray[numpy.int64]],
) -> tuple[float, list[Floats2d]]:
    """Minus the log probability of the gold tags; the gradient of the transitions' scores is added to theirs.

    transitions (Model): Made by `transitions()`.
    scheme (TagScheme | None): What may follow what. None for anything.
    logits (Sequence[Floats2d]): Of each text. Shape (tokens, tags).
    gold (Sequence[NDArray]): Tag indices, MISSING where there are none. Shape (tokens,).
    RETURNS (tuple[float, list[Floats2d]]): The loss in nats, summed over texts, and its gradient by text.
    """
    xp = transitions.ops.xp
    total, gradients = 0.0, [xp.zeros_like(x) for x in logits]
    scores = _scores(transitions, scheme)
    annotated = [i for i, tags in enumerate(gold) if (tags != MISSING).any()]
    for group in _groups(logits, annotated):
        padded, mask = crf.pad([logits[i] for i in group])
        tags = xp.full(mask.shape, MISSING, dtype="int64")
        for row, i in enumerate(group):
            tags[row, : len(gold[i])] = xp.asarray(gold[i])
        loss, d_padded, d_scores = crf.loss_and_gradients(padded, mask, tags, *scores)
        transitions.inc_grad("W", d_scores)
        total += loss
        for row, i in enumerate(group):
            gradients[i] = d_padded[row, : len(gold[i])]
    return total, gradients


def decode_sequences(
    transitions: Model,
    scheme: TagScheme | None,
    logits: Sequence[Floats2d],
    blanks: Sequence[NDArray[numpy.bool_]],
) -> list[Prediction]:
    """The best sequence of each text. Hardly any has a span that begins or ends with a blank token; it gives way to the
    legal sequence of the most probable tags.

    blanks (Sequence[NDArray]): Tokens of each text that no span may begin, end or consist of. Shape (tokens,).
    RETURNS (list[Prediction]): Its tags, and each tag's probability over all sequences.
    """
    results = [no_tokens(transitions.get_dim("nO")) for _ in logits]
    scores = _scores(transitions, scheme)
    to_numpy = transitions.ops.to_numpy
    for group in _groups(logits, [i for i, x in enumerate(logits) if len(x)]):
        padded, mask = crf.pad([logits[i] for i in group])
        tags = to_numpy(crf.best_paths(padded, mask, *scores))
        probabilities = to_numpy(crf.marginals(padded, mask, *scores))
        for row, i in enumerate(group):
            length = len(logits[i])
            best, odds = tags[row, :length], probabilities[row, :length]
            if scheme is not None and not scheme.is_legal(best, blanks[i]):
                best = scheme.decode(numpy.log(odds + TINY), blanks[i])
            results[i] = best, odds
    return results


def _groups(logits: Sequence[Floats2d], texts: Sequence[int]) -> Iterator[list[int]]:
    """YIELDS (list[int]): Texts of like lengths, so that little is padded."""
    group: list[int] = []
    for i in sorted(texts, key=lambda i: len(logits[i])):
        if group and (len(group) + 1) * logits[i].size > MAX_PADDED:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _scores(transitions: Model, scheme: TagScheme | None) -> tuple[Floats2d, Floats1d]:
    """RETURNS (tuple): Scores of previous and next tag, and of a last tag. Shapes (tags + 1, tags) and (tags,)."""
    learned, ops = transitions.get_param("W"), transitions.ops
    if scheme is None:
        return learned, ops.alloc1f(learned.shape[1])
    legal = numpy.vstack((scheme.follows[0, 0], scheme.starts[0]))  # of tokens that are not blank
    penalties = numpy.where(legal, 0.0, crf.FORBIDDEN)
    return learned + ops.asarray2f(penalties), ops.asarray1f(numpy.where(scheme.ends[0], 0.0, crf.FORBIDDEN))
