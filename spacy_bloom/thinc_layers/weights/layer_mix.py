"""Learned weights over the hidden states of all layers, instead of the last state alone."""

from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from ...errors import CheckpointError


class LayerMix(nn.Module):
    """`scale * sum(softmax(weights)[i] * states[i])`, which starts as the mean of all states.

    n_layer (int): Number of blocks of the transformer; there is one state more.
    SOURCE: Peters et al. 2018 (arXiv 1802.05365), without their layer norm.
    """

    def __init__(self, n_layer: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layer + 1))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """
        states (Sequence[Tensor]): n_layer + 1 states, as `BloomModel.hidden_states_packed` returns them. Each of
            shape (pieces, hidden_size).
        RETURNS (Tensor): float32. Shape (pieces, hidden_size).
        """
        weights = self.weights.softmax(dim=0).unbind()
        mixed = weights[0] * states[0].float()
        for weight, state in zip(weights[1:], states[1:], strict=True):
            mixed = mixed + weight * state.float()
        return self.scale * mixed

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The weights as safetensors."""
        return save_safetensors({name: value.detach().cpu() for name, value in self.named_parameters()})

    def from_bytes(self, data: bytes, where: str) -> None:
        """Load the weights that `to_bytes` has written.

        where (str): Where they are from, for the error.
        RAISES (CheckpointError): They are not a mixture of as many layers.
        """
        expected = {name: tuple(value.shape) for name, value in self.named_parameters()}
        try:
            found = load_safetensors(data)
        except SafetensorError as error:
            raise CheckpointError(
                f"Expected mixed layers in {where}, got something else: {error}."
            ) from error
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        if shapes != expected:
            raise CheckpointError(f"Expected mixed layers of shapes {expected} in {where}, got {shapes}.")
        with torch.no_grad():
            for name, value in self.named_parameters():
                value.copy_(found[name])
