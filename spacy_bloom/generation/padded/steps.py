"""A rectangle's way through the model, step by step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...bloom.cache import KeyValueCache
from ...bloom.heads import BloomLanguageModel
from ...errors import InputError
from ..lent_cache import LentCache
from ..running import CHUNK_PIECES, expect_evaluation


@dataclass
class Step:
    """What the model says after all pieces so far.

    logits (Tensor): Of the next piece. Shape (rows, vocab_size), float32.
    hidden_states, attentions (tuple[Tensor, ...] | None): Of the pieces that were fed, by layer.
    last (Tensor): The last hidden state of each piece that was fed. Shape (rows, fed, hidden_size).
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None
    last: Tensor | None = None


class Steps:
    """Feeds what is new since the last call.

    model (BloomLanguageModel): In evaluation mode.
    mask (Tensor): 1 for pieces, 0 for padding, of all that is fed at first and what is cached. Shape (rows, keys).
    embeds (Tensor | None): Fed first, instead of the prompt's ids. Shape (rows, length, hidden_size).
    cache (KeyValueCache | None): Keys and values of the first pieces; grows.
    use_cache (bool): False to feed everything again at each step.
    hidden_states, attentions (bool): What is wanted of each step.
    RAISES (InputError): The model is in training mode.
    """

    def __init__(
        self,
        model: BloomLanguageModel,
        mask: Tensor,
        *,
        embeds: Tensor | None = None,
        cache: KeyValueCache | None = None,
        use_cache: bool = True,
        hidden_states: bool = False,
        attentions: bool = False,
    ) -> None:
        expect_evaluation(model)
        self.model, self.mask, self.embeds = model, mask, embeds
        self.cache = KeyValueCache(model.config.n_layer) if cache is None and use_cache else cache
        self.wanted = {"output_hidden_states": hidden_states, "output_attentions": attentions}
        self._fed = 0 if cache is None else cache.length  # columns of ids

    def __call__(self, ids: Tensor) -> Step:
        """ids (Tensor): All pieces so far. Shape (rows, length)."""
        if prepares_inputs(self.model):
            step = self._run_prepared(ids)
        elif self.embeds is not None:
            known = 0 if self.cache is None else self.cache.length
            step = self._run({"inputs_embeds": self.embeds[:, known:]})
        else:
            new = ids if self.cache is None else ids[:, self._fed :]
            if not new.shape[1]:
                raise InputError(
                    f"Expected input_ids to go on after the {self._fed} pieces of past_key_values, got {ids.shape[1]}. "
                    "Pass all ids, those of the earlier calls first."
                )
            step = self._feed(new)
        self.embeds = None
        self._fed = ids.shape[1]
        self.mask = torch.cat((self.mask, self.mask.new_ones(len(self.mask), 1)), dim=1)
        return step

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order. rows (Tensor): Numbers; may repeat. Shape (new rows,)."""
        self.mask = self.mask.index_select(0, rows.to(self.mask.device))
        if self.cache is not None:
            self.cache.select(rows)

    def _feed(self, new: Tensor) -> Step:
        """Feed in parts where nothing but the end is asked for."""
        if self.cache is not None and not any(self.wanted.values()):
            start = self.mask.shape[1] - new.shape[1]
            whole = self.mask
            *parts, new = new.split(CHUNK_PIECES, dim=1)
            for part in parts:
                start += part.shape[1]
                self.model.transformer(part, attention_mask=whole[:, :start], past_key_values=self.cache)
        return self._run({"input_ids": new})

    def _run(self, pieces: dict[str, Tensor]) -> Step:
        out = self.model.transformer(
            **pieces,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=self.cache is not None,
            **self.wanted,
        )
        logits = self.model.lm_head.logits(out.last_hidden_state[:, -1])
        return Step(logits, out.hidden_states, out.attentions, out.last_hidden_state)

    def _run_prepared(self, ids: Tensor) -> Step:
        """As libraries that put something before the prompt want it: they replace the method that prepares inputs."""
        start = self._fed if self.cache is not None else 0
        inputs: dict[str, Any] = self.model.prepare_inputs_for_generation(
            ids,
            past_key_values=self.cache if self.cache is not None and self.cache.length else None,
            attention_mask=self.mask,
            inputs_embeds=self.embeds,
            cache_position=torch.arange(start, max(ids.shape[1], 1), device=ids.device),
            use_cache=self.cache is not None,
        )
        inputs.pop("cache_position", None)  # it does not count what was put before
        given = inputs.get("past_key_values")
        if self.cache is not None and given is not None and given is not self.cache:
            self.cache = LentCache(
                given, self.model.config
            ).cache  # after a prefix of learned keys and values
        if self.cache is not None or given is None:
            inputs["past_key_values"] = self.cache
        out = self.model(**{**inputs, **self.wanted, "return_dict": True})
        return Step(out.logits[:, -1].float(), out.hidden_states, out.attentions)


def prepares_inputs(model: Any) -> bool:
    """RETURNS (bool): Whether somebody has replaced how this model's inputs are prepared."""
    return "prepare_inputs_for_generation" in vars(model)
