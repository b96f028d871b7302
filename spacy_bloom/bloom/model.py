"""The decoder: embeddings, blocks, final layer norm."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import BloomConfig
from ..errors import InputError
from .alibi import alibi_slopes, new_alibi_slopes, padded_alibi
from .arguments import check_cache_position, expect_no_head_mask, expect_nothing_else
from .block import BloomBlock
from .cache import KeyValueCache
from .outputs import BaseModelOutputWithPastAndCrossAttentions
from .past import Cache, cache_of, learns
from .pretrained_model import BloomPreTrainedModel
from .views import BatchView, PackedView, PaddedView


class BloomModel(BloomPreTrainedModel):
    """BLOOM without a head.

    config (BloomConfig): The geometry. Weights are random until loaded.
    SOURCE: BigScience 2022 (arXiv 2211.05100); transformers' BloomModel in names, arguments and numbers.
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.embed_dim, self.num_heads = config.hidden_size, config.n_head
        self.gradient_checkpointing = False
        self.checkpoint: Callable[..., Any] | None = None
        embedding = torch.empty(config.vocab_size, config.hidden_size)  # drawn below, not twice
        self.word_embeddings = nn.Embedding.from_pretrained(embedding, freeze=False)
        self.word_embeddings_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.h = nn.ModuleList(BloomBlock(config, layer) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.init_weights()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        **deprecated_arguments: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions | tuple[Any, ...]:
        """Run a padded batch.

        input_ids (Tensor | None): Shape (batch, length).
        past_key_values (Any): What an earlier call returned, which stays as it is; a KeyValueCache of the caller's,
            which grows in place; pairs of keys and values by block; or one of transformers' caches.
        attention_mask (Tensor | None): 1 for pieces, 0 for padding on either side; past pieces included.
            Shape (batch, past + length). None means no padding.
        head_mask (None): Not supported.
        inputs_embeds (Tensor | None): Instead of input_ids. Shape (batch, length, hidden_size).
        use_cache (bool | None): Return keys and values; None means as configured. Never while gradient checkpointing.
        output_attentions, output_hidden_states (bool | None): Return these too; None means as configured.
        return_dict (bool | None): False returns a tuple; None means as configured.
        cache_position (Tensor | None): Places of the new pieces, which follow from the cache. Shape (length,).
        RETURNS (BaseModelOutputWithPastAndCrossAttentions): Hidden states, and what else was asked for.
        RAISES (InputError): Arguments whose shapes or ids do not fit.
        """
        expect_no_head_mask(head_mask)
        expect_nothing_else(deprecated_arguments)
        embeds = self._embed(input_ids, inputs_embeds)
        if embeds.dim() != 3 or embeds.shape[-1] != self.config.hidden_size:
            got = tuple((embeds if input_ids is None else input_ids).shape)
            raise InputError(
                "Expected input_ids of shape (batch, length), or inputs_embeds of shape (batch, length, "
                f"{self.config.hidden_size}), got {got}."
            )
        cache, kept = self._cache(past_key_values, embeds.shape[0], use_cache)
        check_cache_position(cache_position, 0 if cache is None else cache.length, embeds.shape[1])
        want_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        mask = _full_mask(embeds, attention_mask, cache)
        slopes = self._slopes(embeds.device)
        view = PaddedView(mask, embeds.shape[1], slopes, cache, want_attentions, _compute_dtype(embeds))
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states = self._run(embeds, view, keep)
        output = BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=states[-1],
            past_key_values=kept,
            hidden_states=tuple(states) if keep else None,
            attentions=None if view.attentions is None else tuple(view.attentions),
        )
        return output if self._wants_dict(return_dict) else output.to_tuple()

    def encode_packed(
        self,
        input_ids: Tensor | None,
        lengths: Sequence[int],
        *,
        inputs_embeds: Tensor | None = None,
        bidirectional_layers: int = 0,
    ) -> Tensor:
        """Run sequences without padding; each attends to itself only.

        input_ids (Tensor | None): The sequences one after the other. Shape (pieces,).
        lengths (Sequence[int]): Pieces of each sequence; their sum is `pieces`.
        inputs_embeds (Tensor | None): Instead of input_ids. Shape (pieces, hidden_size).
        bidirectional_layers (int): Last layers in which a piece attends to what is after it too, with the bias
            -slope * distance on both sides. BLOOM was trained without; what is generated never has it.
        RETURNS (Tensor): Last hidden states. Shape (pieces, hidden_size).
        RAISES (InputError): Lengths that do not add up, ids outside the vocabulary, or more layers than there are.
        """
        return self.hidden_states_packed(
            input_ids,
            lengths,
            inputs_embeds=inputs_embeds,
            bidirectional_layers=bidirectional_layers,
            keep_all=False,
        )[-1]

    def hidden_states_packed(
        self,
        input_ids: Tensor | None,
        lengths: Sequence[int],
        *,
        inputs_embeds: Tensor | None = None,
        bidirectional_layers: int = 0,
        keep_all: bool = True,
    ) -> list[Tensor]:
        """As `encode_packed`, with the hidden states of all layers.

        RETURNS (list[Tensor]): n_layer + 1 states as of the forward pass, or only the last without keep_all.
            Each of shape (pieces, hidden_size).
        """
        embeds = self._embed(input_ids, inputs_embeds)
        if embeds.shape != (sum(lengths), self.config.hidden_size):
            got = tuple((embeds if input_ids is None else input_ids).shape)
            raise InputError(
                f"Expected packed ids of shape ({sum(lengths)},) for {len(lengths)} sequences, or inputs_embeds "
                f"of shape ({sum(lengths)}, {self.config.hidden_size}), got {got}."
            )
        if not len(lengths):
            return [embeds] * (len(self.h) + 1 if keep_all else 1)
        if not 0 <= bidirectional_layers <= len(self.h):
            raise InputError(
                f"Expected bidirectional_layers from 0 to the model's {len(self.h)}, got {bidirectional_layers}."
            )
        causal_layers = len(self.h) - bidirectional_layers if bidirectional_layers else None
        view = PackedView(
            lengths, self._slopes(embeds.device), causal_layers=causal_layers, dtype=_compute_dtype(embeds)
        )
        return [view.restore(states) for states in self._run(view.arrange(embeds), view, keep_all)]

    def _run(self, embeds: Tensor, view: BatchView, keep_all: bool) -> list[Tensor]:
        """The blocks, on either view. RETURNS (list[Tensor]): All states, or only the last."""
        hidden = self.word_embeddings_layernorm(embeds)
        states = []
        past_learns = torch.is_grad_enabled() and learns(getattr(view, "cache", None))
        for block in self.h:
            if keep_all:
                states.append(hidden)
            recorded = past_learns or _is_recorded(block, hidden)
            if self.gradient_checkpointing and self.training and recorded and self.checkpoint is not None:
                hidden = self.checkpoint(block, hidden, view)
            else:
                with torch.set_grad_enabled(recorded):
                    hidden = block(hidden, view)
        states.append(self.ln_f(hidden))
        return states

    def place_head(self, language_model: nn.Module) -> None:
        """Let a head that was made around this decoder work where the decoder's weights are: all of them are here."""

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("Expected exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is not None:
            return inputs_embeds
        assert input_ids is not None
        if input_ids.dtype not in (torch.int64, torch.int32):
            raise InputError(f"Expected input_ids as integers (int64 or int32), got {input_ids.dtype}.")
        # One clear error on CPU; on a GPU the look-up itself checks, without waiting for the device here.
        if input_ids.device.type == "cpu" and input_ids.numel() and not torch.compiler.is_compiling():
            low, high = int(input_ids.min()), int(input_ids.max())
            if low < 0 or high >= self.config.vocab_size:
                raise InputError(
                    f"Expected ids from 0 to {self.config.vocab_size - 1}, got {low} to {high}. "
                    "Do tokenizer and model belong to the same checkpoint?"
                )
        return self.word_embeddings(input_ids)

    def _cache(self, past: Any, batch: int, use_cache: bool | None) -> tuple[Cache | None, Any]:
        """RETURNS (tuple[Cache | None, Any]): What the blocks write to, and what the call returns."""
        wants = self.config.use_cache if use_cache is None else use_cache
        checkpointing = self.gradient_checkpointing and self.training
        if past is None:
            if not wants or checkpointing:  # blocks that run twice would append their keys twice
                return None, None
            cache = KeyValueCache(self.config.n_layer, stays=True)
            return cache, cache
        found, kept = cache_of(past, self.config)
        if (isinstance(found, KeyValueCache) and len(found) != len(self.h)) or found.batch not in (0, batch):
            raise InputError(
                f"Expected past_key_values of {len(self.h)} blocks and {batch} rows, got {len(past)} blocks"
                + (f" and {found.batch} rows." if found.length else ".")
            )
        if checkpointing and torch.is_grad_enabled():
            raise InputError(
                "Got past_key_values while gradient checkpointing: blocks run twice would append twice."
            )
        return found, kept if wants else None

    def build_alibi_tensor(self, attention_mask: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
        """See `padded_alibi`; for Hugging Face's users, as the model itself has other ways."""
        return padded_alibi(attention_mask, num_heads, dtype)

    def _slopes(self, device: torch.device) -> Tensor:
        # Not a buffer: buffers follow .half(), and slopes must stay float32. A tracer's tensors are not for others.
        make = new_alibi_slopes if torch.compiler.is_compiling() else alibi_slopes
        return make(self.config.n_head, device)


def _is_recorded(block: nn.Module, hidden: Tensor) -> bool:
    """RETURNS (bool): Whether a block is needed in the backward pass. One that does not learn is not, nor are those
    before it: they run as in prediction.
    """
    if not torch.is_grad_enabled():
        return False
    return hidden.requires_grad or any(parameter.requires_grad for parameter in block.parameters())


def _full_mask(embeds: Tensor, attention_mask: Tensor | None, cache: Cache | None) -> Tensor:
    """RETURNS (Tensor): The mask over past and new pieces. Shape (batch, past + length)."""
    past = 0 if cache is None else cache.length
    shape = (embeds.shape[0], past + embeds.shape[1])
    if attention_mask is None:
        return torch.ones(shape, dtype=torch.long, device=embeds.device)
    if tuple(attention_mask.shape) != shape:
        raise InputError(
            f"Expected attention_mask of shape {shape} (batch, past + length), "
            f"got {tuple(attention_mask.shape)}."
        )
    return attention_mask


def _compute_dtype(embeds: Tensor) -> torch.dtype:
    """RETURNS (torch.dtype): What queries will have: under autocast that of its products."""
    device = embeds.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else embeds.dtype
