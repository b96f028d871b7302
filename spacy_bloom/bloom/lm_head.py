"""The language-modelling head: logits and likelihoods of the next piece."""

import torch
from torch import Tensor, nn

from .losses import lm_loss, nll_, set_nll_, sum_dtype
from .product import product

# Logits per chunk where nothing is learnt: 64 MB in float32.
CHUNK_LOGITS = 2**24
# Places per chunk of a loss. A chunk of logits is 12 MB with 12,288 pieces, 250 MB with BLOOM's 250,880.
LOSS_CHUNK = 256


class LMHead(nn.Module):
    """The interface of a head. A subclass, quantised or divided by vocabulary for example, must define `forward` and
    `vocab_size`, and may override the rest.

    vocab_size (int): Number of logits.
    """

    vocab_size: int

    def forward(self, hidden: Tensor) -> Tensor:
        """
        hidden (Tensor): Hidden states after the last layer norm. Shape (..., hidden_size).
        RETURNS (Tensor): Logits in their dtype. Shape (..., vocab_size).
        """
        raise NotImplementedError

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """Logits in float32, of all pieces or of some.

        hidden (Tensor): Hidden states of the places to score. Shape (..., hidden_size).
        pieces (Tensor | None): Ids; None for all. Shape (pieces,).
        RETURNS (Tensor): Shape (..., vocab_size or pieces).
        """
        logits = self(hidden).float()
        return logits if pieces is None else logits[..., pieces]

    @torch.no_grad()
    def nll(self, hidden: Tensor, labels: Tensor, *, chunk_size: int | None = None) -> Tensor:
        """Negative log-likelihood of the piece after each place.

        hidden (Tensor): Shape (places, hidden_size).
        labels (Tensor): Ids; -100 gives 0. Shape (places,), int64.
        chunk_size (int | None): Places whose logits exist at once; None for as many as fit into 64 MB.
        RETURNS (Tensor): In nats. Shape (places,), float32 (float64 for float64 inputs).
        """
        size = self._chunk_size(chunk_size)
        found = [hidden.new_zeros(0, dtype=sum_dtype(hidden))]
        for some, own in zip(hidden.split(size), labels.split(size), strict=True):
            found.append(nll_(self(some).to(sum_dtype(some)), own))
        return torch.cat(found)

    @torch.no_grad()
    def set_nll(self, hidden: Tensor, members: Tensor, *, chunk_size: int | None = None) -> Tensor:
        """Negative log-likelihood that the piece after each place is any of a set.

        hidden (Tensor): Shape (places, hidden_size).
        members (Tensor): Whether each piece is in the set; at least one is. Shape (vocab_size,), bool.
        chunk_size (int | None): As for `nll`.
        RETURNS (Tensor): In nats. Shape (places,), float32.
        """
        found = [hidden.new_zeros(0, dtype=torch.float32)]
        for some in hidden.split(self._chunk_size(chunk_size)):
            found.append(set_nll_(self.logits(some), members))
        return torch.cat(found)

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy with gradients, for a head that can be trained.

        hidden (Tensor): Shape (places, hidden_size).
        labels (Tensor): As for `nll`; -100 is ignored. Shape (places,), int64.
        RETURNS (Tensor): In nats; 0 if all labels are ignored. Shape ().
        """
        raise NotImplementedError(f"{type(self).__name__} is for prediction only. Train with the plain head.")

    def tie(self, embedding: nn.Module) -> None:
        """Share the weights of the embedding; a head that cannot keeps its own.

        embedding (Module): The model's embedding, of the head's kind: float, quantised, divided.
        """

    def _chunk_size(self, chunk_size: int | None) -> int:
        return max(CHUNK_LOGITS // self.vocab_size, 1) if chunk_size is None else chunk_size


class LinearLMHead(nn.Linear, LMHead):
    """A matrix, by default the embedding itself.

    hidden_size (int): Size of a hidden state.
    vocab_size (int): Rows of the matrix.
    """

    def __init__(self, hidden_size: int, vocab_size: int) -> None:
        super().__init__(hidden_size, vocab_size, bias=False)
        self.vocab_size = vocab_size

    def tie(self, embedding: nn.Module) -> None:
        """See LMHead."""
        self.weight = embedding.get_parameter("weight")

    def forward(self, hidden: Tensor) -> Tensor:
        """See LMHead."""
        return product(hidden, self.weight)

    def logits(self, hidden: Tensor, *, pieces: Tensor | None = None) -> Tensor:
        """See LMHead. Only the rows of the pieces are multiplied."""
        if self.weight.is_meta:  # a call brings the weights
            return super().logits(hidden, pieces=pieces)
        weight = self.weight if pieces is None else self.weight[pieces]
        return product(hidden, weight).float()

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """See LMHead. Computed in chunks: the logits of all places never exist at once."""
        return lm_loss(hidden, self.weight, labels, chunk_size=LOSS_CHUNK)
