"""BLOOM as an encoder: packed pieces to vectors."""

from collections.abc import Sequence

from torch import Tensor, nn

from ...bloom.model import BloomModel
from .layer_mix import LayerMix


class BloomEncoder(nn.Module):
    """A decoder, the direction it attends in, and which of its states are given out.

    The decoder is an ordinary module: adapters, quantized or sharded layers are put into it from outside.

    decoder (BloomModel): Runs the pieces.
    bidirectional_layers (int): The last layers in which a piece attends to both sides.
    mix (LayerMix | None): Mixes the states of all layers; None gives out the last.
    """

    def __init__(
        self, decoder: BloomModel, *, bidirectional_layers: int = 0, mix: LayerMix | None = None
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.bidirectional_layers = bidirectional_layers
        self.layer_mix = mix

    def forward(self, ids: Tensor, lengths: Sequence[int]) -> Tensor:
        """
        ids (Tensor): Sequences one after the other. Shape (pieces,).
        lengths (Sequence[int]): Pieces of each sequence.
        RETURNS (Tensor): Vectors. Shape (pieces, hidden_size).
        """
        ids = ids.to(self.decoder.device)
        if self.layer_mix is None:
            return self.decoder.encode_packed(ids, lengths, bidirectional_layers=self.bidirectional_layers)
        states = self.decoder.hidden_states_packed(
            ids, lengths, bidirectional_layers=self.bidirectional_layers
        )
        return self.layer_mix(states)
