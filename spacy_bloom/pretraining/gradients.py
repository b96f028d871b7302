"""Gradients of a packed batch, in little memory."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..bloom.heads import BloomLanguageModel
from ..bloom.losses import IGNORED_LABEL


def add_gradients(
    model: BloomLanguageModel,
    input_ids: Tensor,
    labels: Tensor,
    lengths: Sequence[int],
    share: float = 1.0,
    *,
    bidirectional_layers: int = 0,
) -> float:
    """Add the gradients of a packed batch's mean loss to those of the weights.

    A tied embedding is looked up outside the graph, and the gradient of the rows that were read is added to the
    head's. Otherwise the embedding would get a second gradient of its full size, 1 GB for bloom-560m.

    input_ids (Tensor): The sequences one after the other. Shape (pieces,).
    labels (Tensor): The piece that follows each one; -100 is ignored. Shape (pieces,).
    lengths (Sequence[int]): Pieces of each sequence.
    share (float): Factor for loss and gradients.
    bidirectional_layers (int): See `BloomModel.encode_packed`.
    RETURNS (float): The loss in nats, times the share.
    """
    weight, embeds = model.transformer.word_embeddings.weight, None
    if model.config.tie_word_embeddings and weight.requires_grad:
        embeds = nn.functional.embedding(input_ids, weight.detach()).requires_grad_()
    hidden = model.transformer.encode_packed(
        input_ids if embeds is None else None,
        lengths,
        inputs_embeds=embeds,
        bidirectional_layers=bidirectional_layers,
    )
    kept = labels != IGNORED_LABEL  # the logits of others are not computed
    if not kept.all():
        hidden, labels = hidden[kept], labels[kept]
    loss = model.lm_head.loss(hidden, labels) * share
    loss.backward()
    if embeds is not None:
        assert weight.grad is not None and embeds.grad is not None
        weight.grad.index_add_(0, input_ids, embeds.grad)
    return loss.item()
