"""The decoder: embeddings, blocks, final layer norm."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..checkpoint.pretrained import PretrainedMixin
from ..config import BloomConfig
from ..errors import InputError
from .alibi import alibi_slopes
from .block import BloomBlock
from .cache import KeyValueCache
from .views import BatchView, PackedView, PaddedView


@dataclass
class BloomModelOutput:
    """What the decoder returns. Fields that were not asked for are None.

    last_hidden_state (Tensor): After the final layer norm. Shape (batch, length, hidden_size).
    past_key_values (KeyValueCache | None): Keys and values for the next call.
    hidden_states (tuple[Tensor, ...] | None): Input of the first block, then the output of each block, the
        last one after the final layer norm. n_layer + 1 times shape (batch, length, hidden_size).
    attentions (tuple[Tensor, ...] | None): n_layer times shape (batch, n_head, length, keys).
    """

    last_hidden_state: Tensor
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BloomPreTrainedModel(PretrainedMixin):
    """What the decoder and its heads share: files, the config, random weights, gradient checkpointing.

    config (BloomConfig): The geometry.
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__()
        self.config = config

    def init_weights(self) -> None:
        """Draw random weights as BLOOM's reference does: normal matrices, zero biases, unit layer norms."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                draw_normal(module.weight, self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    @property
    def device(self) -> torch.device:
        """RETURNS (torch.device): Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """RETURNS (torch.dtype): The dtype of the weights; of those that are not integers in a quantised model."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    def num_parameters(self) -> int:
        """RETURNS (int): Number of weights; tied ones count once."""
        return sum(p.numel() for p in self.parameters())

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each block in the backward pass instead of keeping its activations."""
        self._set_gradient_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        """Keep the activations of all blocks for the backward pass."""
        self._set_gradient_checkpointing(False)

    def _set_gradient_checkpointing(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, BloomModel):
                module.gradient_checkpointing = value


class BloomModel(BloomPreTrainedModel):
    """BLOOM without a head.

    config (BloomConfig): The geometry. Weights are random until loaded.
    SOURCE: BigScience 2022 (arXiv 2211.05100); transformers' BloomModel in names, arguments and numbers.
    """

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.gradient_checkpointing = False
        embedding = torch.empty(config.vocab_size, config.hidden_size)  # drawn below, not twice
        self.word_embeddings = nn.Embedding.from_pretrained(embedding, freeze=False)
        self.word_embeddings_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.h = nn.ModuleList(BloomBlock(config, layer) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)
        self.init_weights()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        past_key_values: KeyValueCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BloomModelOutput:
        """Run a padded batch.

        input_ids (Tensor | None): Shape (batch, length).
        attention_mask (Tensor | None): 1 for pieces, 0 for padding on either side; past pieces included.
            Shape (batch, past + length). None means no padding.
        past_key_values (KeyValueCache | None): What an earlier call returned; it grows in place.
        inputs_embeds (Tensor | None): Instead of input_ids. Shape (batch, length, hidden_size).
        use_cache (bool | None): Return keys and values; None means as configured, outside training.
        RETURNS (BloomModelOutput): Hidden states, and what else was asked for.
        RAISES (InputError): Arguments whose shapes or ids do not fit.
        """
        embeds = self._embed(input_ids, inputs_embeds)
        if embeds.dim() != 3 or embeds.shape[-1] != self.config.hidden_size:
            got = tuple((embeds if input_ids is None else input_ids).shape)
            raise InputError(
                "Expected input_ids of shape (batch, length), or inputs_embeds of shape (batch, length, "
                f"{self.config.hidden_size}), got {got}."
            )
        cache = None if past_key_values is None else KeyValueCache.of(past_key_values, self.config)
        if cache is not None:
            self._check_cache(cache, embeds.shape[0])
        if cache is None and self._wants_cache(use_cache):
            cache = KeyValueCache(self.config.n_layer)
        want_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        mask = _full_mask(embeds, attention_mask, cache)
        view = PaddedView(mask, embeds.shape[1], self._slopes(embeds.device), cache, want_attentions)
        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states = self._run(embeds, view, keep)
        return BloomModelOutput(
            last_hidden_state=states[-1],
            past_key_values=cache,
            hidden_states=tuple(states) if keep else None,
            attentions=None if view.attentions is None else tuple(view.attentions),
        )

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

        RETURNS (list[Tensor]): n_layer + 1 states as in BloomModelOutput, or only the last without keep_all.
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
        view = PackedView(lengths, self._slopes(embeds.device), causal_layers=causal_layers)
        return [view.restore(states) for states in self._run(view.arrange(embeds), view, keep_all)]

    def _run(self, embeds: Tensor, view: BatchView, keep_all: bool) -> list[Tensor]:
        """The blocks, on either view. RETURNS (list[Tensor]): All states, or only the last."""
        hidden = self.word_embeddings_layernorm(embeds)
        states = []
        for block in self.h:
            if keep_all:
                states.append(hidden)
            recorded = _is_recorded(block, hidden)
            if self.gradient_checkpointing and self.training and recorded:
                hidden = checkpoint(block, hidden, view, use_reentrant=False)
            else:
                with torch.set_grad_enabled(recorded):
                    hidden = block(hidden, view)
        states.append(self.ln_f(hidden))
        return states

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("Expected exactly one of input_ids and inputs_embeds.")
        if inputs_embeds is not None:
            return inputs_embeds
        assert input_ids is not None
        if input_ids.dtype not in (torch.int64, torch.int32):
            raise InputError(f"Expected input_ids as integers (int64 or int32), got {input_ids.dtype}.")
        # One clear error on CPU; on a GPU the look-up itself checks, without waiting for the device here.
        if input_ids.device.type == "cpu" and input_ids.numel():
            low, high = int(input_ids.min()), int(input_ids.max())
            if low < 0 or high >= self.config.vocab_size:
                raise InputError(
                    f"Expected ids from 0 to {self.config.vocab_size - 1}, got {low} to {high}. "
                    "Do tokenizer and model belong to the same checkpoint?"
                )
        return self.word_embeddings(input_ids)

    def _check_cache(self, cache: KeyValueCache, batch: int) -> None:
        if len(cache) != len(self.h) or (cache.length and cache.batch != batch):
            raise InputError(
                f"Expected past_key_values of {len(self.h)} blocks and {batch} rows, got {len(cache)} blocks"
                + (f" and {cache.batch} rows." if cache.length else ".")
            )
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            raise InputError(
                "Got past_key_values while gradient checkpointing: blocks run twice would append twice."
            )

    def _wants_cache(self, use_cache: bool | None) -> bool:
        if self.gradient_checkpointing and self.training:
            return False  # recomputed blocks would append their keys twice
        return (self.config.use_cache and not self.training) if use_cache is None else use_cache

    def _slopes(self, device: torch.device) -> Tensor:
        # Not a buffer: buffers follow .half(), and slopes must stay float32.
        return alibi_slopes(self.config.n_head, device)


def _is_recorded(block: nn.Module, hidden: Tensor) -> bool:
    """RETURNS (bool): Whether a block is needed in the backward pass. One that does not learn is not, nor are those
    before it: they run as in prediction.
    """
    if not torch.is_grad_enabled():
        return False
    return hidden.requires_grad or any(parameter.requires_grad for parameter in block.parameters())


def draw_normal(weight: Tensor, std: float) -> None:
    """Draw a matrix; leave one on the meta device, where torch would import for a second to draw nothing."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


def _full_mask(embeds: Tensor, attention_mask: Tensor | None, cache: KeyValueCache | None) -> Tensor:
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
