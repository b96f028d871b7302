"""Scores against those of a negative prompt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...bloom.heads import BloomLanguageModel
from ...errors import InputError
from ..rows import Row
from ..running import RunningRows
from .calling_forms import Rectangle


class Guidance:
    """Moves log-probabilities away from those after a negative prompt: `negative + scale * (score - negative)`.

    It computes what follows the negative prompts anew where rows were reordered.

    scale (float): Above 1 strengthens the prompt.
    model (BloomLanguageModel): In evaluation mode.
    rectangle (Rectangle): Holds the rows.
    ids (Tensor | None): Negative prompts; None for the last piece of each prompt. Shape (prompts, length).
    mask (Tensor | None): 1 for their pieces, 0 for padding. Shape (prompts, length).
    SOURCE: https://arxiv.org/abs/2306.17806
    """

    def __init__(
        self,
        scale: float,
        model: BloomLanguageModel,
        rectangle: Rectangle,
        ids: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self.scale, self.model, self.rectangle = scale, model, rectangle
        if ids is not None and mask is not None and mask.shape != ids.shape:
            raise InputError(
                f"Expected negative_prompt_attention_mask of shape {tuple(ids.shape)}, got {tuple(mask.shape)}."
            )
        real = None if ids is None else torch.ones_like(ids) if mask is None else mask
        self._prompts = None
        if ids is not None and real is not None:
            self._prompts = [row[keep != 0].tolist() for row, keep in zip(ids.cpu(), real.cpu(), strict=True)]
        self._rows: RunningRows | None = None
        self._fed: list[list[int]] = []

    def __call__(self, rows: Sequence[Row], scores: Tensor) -> Tensor:
        """See LogitsProcessor."""
        texts = [[*self._prompt(row), *row.generated] for row in rows]
        hidden = self._feed(texts)
        negative = self.model.lm_head.logits(hidden).log_softmax(dim=-1)
        return self.scale * (scores.log_softmax(dim=-1) - negative) + negative

    def _prompt(self, row: Row) -> list[int]:
        if self._prompts is None:
            return list(row.prompt[-1:])
        if row.number >= len(self._prompts):
            raise InputError(
                f"Expected one row of negative_prompt_ids for each prompt, got {len(self._prompts)} in all."
            )
        return self._prompts[row.number]

    def _feed(self, texts: list[list[int]]) -> Tensor:
        """RETURNS (Tensor): Hidden states after each text. Shape (rows, hidden_size)."""
        grown = self._rows is not None and [text[:-1] for text in texts] == self._fed
        if grown and self._rows is not None:
            hidden = self._rows.feed([text[-1:] for text in texts])[:, -1]
        else:
            self._rows = RunningRows(self.model)
            hidden = self._rows.start(texts)
        self._fed = texts
        return hidden
