"""Whether weights are still the ones they were."""

import hashlib

import torch

from ...bloom.model import BloomModel
from ...finetuning.lora import LoraSettings, has_lora


class WeightsDigest:
    """A digest of a model's config and weights, computed anew when they may have changed."""

    def __init__(self) -> None:
        self._known: tuple[tuple, str] | None = None

    def forget(self) -> None:
        """Compute it anew next time. Optimizers write into the same memory, which leaves no trace."""
        self._known = None

    def of(self, model: BloomModel, lora: LoraSettings | None) -> str:
        """RETURNS (str): The digest, in hexadecimal digits."""
        weights = dict(model.named_parameters())
        state = tuple((id(w), w.data_ptr(), w._version) for w in weights.values())
        if self._known is None or self._known[0] != state:
            digest = hashlib.sha256(model.config.to_json_string().encode("utf8"))
            digest.update(repr(lora if has_lora(model) else None).encode())
            for name, weight in weights.items():
                digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
                digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().data)
            self._known = state, digest.hexdigest()
        return self._known[1]
