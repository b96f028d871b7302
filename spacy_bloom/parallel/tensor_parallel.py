"""One model divided among processes: each reads, holds and multiplies a part of every matrix.

All ranks run the same calls with the same inputs, and all get the same results. The model's own modules stay, with
parts of their weights; only the layers where parts meet become others. It is for prediction.

SOURCE: Shoeybi et al. 2019 (arXiv 1909.08053).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..bloom.alibi import alibi_slopes
from ..bloom.heads import BloomLanguageModel
from ..bloom.model import BloomModel, BloomPreTrainedModel
from ..bloom.views import BatchView, PaddedView
from ..checkpoint.files import WeightSource
from ..checkpoint.load import load_model
from ..checkpoint.quantized import quantization_method
from ..config import BloomConfig
from ..errors import InputError
from ..generation.causal_lm import BloomForCausalLM
from .becoming import become, become_also
from .ranks import first_tensor, from_first, join_ranks, n_ranks, rank
from .tensor_layers import EMBEDDINGS, HEADS, SUMMED, SummedInt8Linear
from .tensor_placement import TensorPlacement

INT8 = "int8"
ModelT = TypeVar("ModelT", bound=BloomPreTrainedModel)


class Divided(BloomPreTrainedModel):
    """What a model of which this process holds a part cannot do, and what it does together with the others."""

    part_bytes: int

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Memory of rank 0's weights, on all ranks: budgets that follow from it must be the same."""
        return self.part_bytes

    def train(self, mode: bool = True) -> Any:
        """RAISES (InputError): A divided model only predicts."""
        if mode:
            raise InputError(
                "Got train() of a model that is divided among processes, which only predicts. To train on several, "
                "start `python -m spacy bloom train-lm` with torchrun."
            )
        return super().train(mode)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """RAISES (InputError): A part of a model is not saved."""
        raise InputError(
            f"Got rank {rank()}'s part of a model to save. Load the model without tensor_parallel to save it."
        )


class DividedDecoder(Divided):
    """A decoder, with some of the heads."""

    placement: TensorPlacement
    config: BloomConfig

    def _run(self, embeds: Tensor, view: BatchView, keep_all: bool) -> list[Tensor]:
        if isinstance(view, PaddedView) and view.attentions is not None:
            raise InputError(
                "Got output_attentions of a model that is divided among processes: each has some of the heads. Load "
                "the model without tensor_parallel to see its attention."
            )
        return super()._run(embeds, view, keep_all)  # type: ignore[misc]

    def place_head(self, language_model: Any) -> None:
        """Divide the head of a language model around this decoder, and the model."""
        divide_head(language_model, self.placement)
        _become_divided(language_model)

    def _slopes(self, device: torch.device) -> Tensor:
        n_head = self.config.n_head
        return alibi_slopes(n_head, device)[self.placement.span(n_head)]


class DividedCausalLM(Divided):
    """A language model. What generation draws and what its clock says is rank 0's everywhere."""

    def clock(self) -> float:
        """RETURNS (float): Rank 0's time in seconds."""
        return from_first(time.monotonic())

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """See BloomForCausalLM."""
        share_random_state()
        return super().generate(*args, **kwargs)  # type: ignore[misc]

    def _steps(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return _drawing_together(super()._steps(*args, **kwargs))  # type: ignore[misc]


def _drawing_together(steps: Iterator[Any]) -> Iterator[Any]:
    share_random_state()
    yield from steps


def share_random_state() -> None:
    """Give torch's global generator the state that it has on rank 0."""
    torch.set_rng_state(first_tensor(torch.get_rng_state()))


def load_divided(
    make: Callable[[BloomConfig], ModelT],
    config: BloomConfig,
    source: WeightSource,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    new_head: bool = True,
    quantization: str | None = None,
) -> ModelT:
    """Build a model around this rank's parts of the weights; see `load_model`. The processes meet if they have not.

    device (str | torch.device): Of this rank's parts; "cuda" is the rank's own GPU.
    RETURNS (BloomPreTrainedModel): The model, with this rank's part of it.
    RAISES (InputError): The process is alone, the ranks do not divide the heads, or float weights are to become
        integers, for which a rank would need whole rows.
    """
    join_ranks()
    placement = TensorPlacement(rank(), n_ranks(), device)
    placement.check(config)
    share_random_state()  # a new head is drawn
    if quantization == INT8 and quantization_method(config) is None:
        raise InputError(
            f"Got quantization={quantization!r} of float weights with tensor_parallel, where no rank has whole rows. "
            f"Quantise the checkpoint once: python -m spacy bloom convert NAME DIRECTORY --quantization {quantization}"
        )
    model = load_model(
        make, config, source, dtype=dtype, placement=placement, new_head=new_head, quantization=quantization
    )
    return divide(model, placement)


def divide(model: ModelT, placement: TensorPlacement) -> ModelT:
    """Make a model that holds a rank's parts of the weights compute with the other ranks, in place.

    model (BloomPreTrainedModel): Loaded by this placement.
    RETURNS (BloomPreTrainedModel): The same model.
    """
    model.requires_grad_(False)
    decoder = decoder_of(model)
    decoder.placement = placement  # type: ignore[assignment]
    block: Any
    for block in decoder.h:
        attention, mlp = block.self_attention, block.mlp
        for layer in (attention.query_key_value, mlp.dense_h_to_4h):
            layer.out_features = len(layer.weight)
        for layer in (attention.dense, mlp.dense_4h_to_h):
            _sum_outputs(layer, placement)
    _divide_embedding(decoder.word_embeddings, placement)
    if isinstance(model, BloomLanguageModel):
        divide_head(model, placement)
    for part in (decoder, model) if decoder is not model else (decoder,):
        _become_divided(part)
    return model


def divide_head(model: BloomLanguageModel, placement: TensorPlacement) -> None:
    """Divide the language-modelling head, whose rows are those of the embedding, by the same ranks."""
    head: Any = model.lm_head
    spans = placement.spans(model.config.vocab_size)
    head.out_features = len(head.weight)
    head.first, head.widths = spans[placement.rank].start, [span.stop - span.start for span in spans]
    become(head, _kind(head, HEADS))


def decoder_of(model: BloomPreTrainedModel) -> BloomModel:
    """RETURNS (BloomModel): The decoder of a model, which may be the model itself."""
    decoder = model if isinstance(model, BloomModel) else model.get_submodule("transformer")
    assert isinstance(decoder, BloomModel)
    return decoder


def _kind_of(model: BloomPreTrainedModel) -> type[Divided]:
    kinds: dict[type, type[Divided]] = {BloomModel: DividedDecoder, BloomForCausalLM: DividedCausalLM}
    return next((kind for cls, kind in kinds.items() if isinstance(model, cls)), Divided)


def _become_divided(model: Any) -> None:
    become_also(model, _kind_of(model))
    model.part_bytes = from_first(sum(weight.nbytes for weight in model.parameters()))


def _sum_outputs(layer: Any, placement: TensorPlacement) -> None:
    become(layer, _kind(layer, SUMMED))
    if isinstance(layer, SummedInt8Linear):
        layer.cut(placement)
    layer.in_features = layer.weight.shape[1]


def _divide_embedding(embedding: Any, placement: TensorPlacement) -> None:
    span = placement.span(embedding.num_embeddings)
    embedding.first, embedding.own_rows = span.start, span.stop - span.start
    become(embedding, _kind(embedding, EMBEDDINGS))


def _kind(layer: Any, kinds: Mapping[Any, type[nn.Module]]) -> type[nn.Module]:
    return next(kind for cls, kind in kinds.items() if isinstance(layer, cls))
