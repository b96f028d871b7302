"""Logits of the last layer in contrast to those of an earlier one, which knows less."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...bloom.heads import BloomLanguageModel
from ...errors import InputError
from ...settings import shown
from .steps import Step

# Pieces that are less likely than this fraction of the best one are left out.
RELATIVE_TOP = 0.1
# What the earlier layer says of them.
BASE_SCORE = -1e-3
# In deep models, only so many layers from either end are looked at.
MAX_LAYERS = 20


class LayerContrast:
    """Takes the earlier layer whose distribution is the farthest from the last one's.

    model (BloomLanguageModel): Whose head reads all layers.
    layers (str | list[int]): "low" or "high" for every second layer of either half, or their numbers; 0 is the
        embedding.
    SOURCE: https://arxiv.org/abs/2309.03883; in numbers, transformers' `_dola_decoding`.
    """

    def __init__(self, model: BloomLanguageModel, layers: str | list[int]) -> None:
        self.model = model
        self.layers = _candidates(layers, model.config.n_layer, model.config.tie_word_embeddings)

    def __call__(self, step: Step) -> Tensor:
        """RETURNS (Tensor): Differences of log-probabilities, -inf for unlikely pieces. Shape (rows, vocab_size)."""
        assert step.hidden_states is not None
        final = step.logits
        earlier = [self.model.lm_head.logits(step.hidden_states[layer][:, -1]) for layer in self.layers]
        base = earlier[0] if len(earlier) == 1 else earlier[_farthest(final, torch.stack(earlier))]
        scores, base = final.log_softmax(dim=-1), base.log_softmax(dim=-1)
        best = scores.amax(dim=-1, keepdim=True)
        unlikely = scores < torch.minimum(best, best + math.log(RELATIVE_TOP))
        return scores.masked_fill(unlikely, -torch.inf) - base.masked_fill(unlikely, BASE_SCORE)


def _candidates(layers: str | list[int], n_layer: int, tied: bool) -> list[int]:
    """RETURNS (list[int]): The layers to choose from."""
    half = n_layer // 2
    deep = n_layer > 2 * MAX_LAYERS
    if layers == "high":
        return list(range(n_layer - MAX_LAYERS if deep else half, n_layer, 2))
    if layers == "low":
        # A tied embedding says nothing but the piece itself.
        start = {1: 0, 2: 1}.get(n_layer, 2) if tied else 0
        return [start] if start == half else list(range(start, MAX_LAYERS if deep else half, 2))
    found = [layer for layer in layers if isinstance(layer, int) and layer < n_layer]
    if not found:
        raise InputError(f"Expected dola_layers with a number below {n_layer}, got {shown(layers)}.")
    return found


def _farthest(final: Tensor, earlier: Tensor) -> int:
    """
    final (Tensor): Logits. Shape (rows, vocab_size).
    earlier (Tensor): Shape (layers, rows, vocab_size).
    RETURNS (int): The layer with the largest Jensen-Shannon divergence, over all rows.
    """
    middle = 0.5 * (final.softmax(dim=-1)[None] + earlier.softmax(dim=-1))
    to_final = F.kl_div(final.log_softmax(dim=-1)[None], middle, reduction="none").mean(-1)
    to_earlier = F.kl_div(earlier.log_softmax(dim=-1), middle, reduction="none").mean(-1)
    return int((0.5 * (to_final + to_earlier)).mean(-1).argmax())
