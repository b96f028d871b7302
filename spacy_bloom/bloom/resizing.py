"""More or fewer rows in an embedding and in a head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..settings import check, integer

# Of the covariance of the old rows, from which new ones are drawn: they are all but equal to the mean.
SPREAD = 1e-9


def padded_size(size: int, multiple: int | None) -> int:
    """RETURNS (int): The size, rounded up to a multiple.
    RAISES (InputError): The multiple is no positive integer.
    """
    if multiple is None:
        return size
    check("pad_to_multiple_of", multiple, integer(1, 2**24), error=InputError)
    return -(-size // multiple) * multiple


def resize_embedding(embedding: Any, size: int, *, init: Callable[[nn.Module], None] | None) -> None:
    """Give an embedding another number of rows, in place; the parameter stays the same object.

    embedding (Embedding): Its first rows stay.
    size (int): Number of rows.
    init (Callable | None): Draws a new module's weights; None draws around the mean of the old rows.
    RAISES (InputError): It is no plain embedding.
    SOURCE: transformers' resize_token_embeddings, in numbers and in the random numbers that it takes; Hewitt 2021,
        https://nlp.stanford.edu/~johnhew/vocab-expansion.html
    """
    if not isinstance(embedding, nn.Embedding):
        raise _not_plain(embedding)
    old = embedding.weight
    if old.shape[0] == size:
        return
    new = nn.Embedding(size, old.shape[1], device=old.device, dtype=old.dtype)
    _set_rows(old, new, init)
    embedding.num_embeddings = size
    if embedding.padding_idx is not None and embedding.padding_idx >= size:
        embedding.padding_idx = None


def resize_head(head: Any, size: int, *, init: Callable[[nn.Module], None] | None) -> None:
    """As `resize_embedding`, of a head with a matrix of its own.

    head (LinearLMHead): The head.
    """
    if not isinstance(head, nn.Linear):
        raise _not_plain(head)
    if head.weight.shape[0] == size:
        return
    options = {"device": head.weight.device, "dtype": head.weight.dtype}
    _set_rows(head.weight, nn.Linear(head.in_features, size, bias=False, **options), init)


@torch.no_grad()
def _set_rows(old: Tensor, new: Any, init: Callable[[nn.Module], None] | None) -> None:
    kept = min(len(old), len(new.weight))
    added = len(new.weight) - kept
    if added and init is not None:
        init(new)
    elif added:
        new.weight[kept:] = _around_mean(old.detach().float(), added).to(old.dtype)
    new.weight[:kept] = old[:kept]
    old.data, old.grad = new.weight.data, None


def _around_mean(rows: Tensor, count: int) -> Tensor:
    """RETURNS (Tensor): New rows, from the normal distribution of the old ones made narrow. Shape (count, size)."""
    from torch.distributions import MultivariateNormal, constraints  # takes a while to import

    mean = rows.mean(dim=0)
    centred = rows - mean
    covariance = SPREAD * (centred.T @ centred / len(rows))
    if constraints.positive_definite.check(covariance).all():
        return MultivariateNormal(mean, covariance_matrix=covariance).sample((count,))
    return mean.expand(count, -1)


def _not_plain(module: Any) -> InputError:
    return InputError(
        f"Expected an embedding and a head in float, on one device, to be resized; got {type(module).__name__}. "
        "Resize before quantising or dividing the model."
    )
