"""AdamW for all weights, or Muon for the matrices of the blocks."""

from collections.abc import Iterable, Iterator, Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ..bloom.heads import BloomLanguageModel

OPTIMIZERS = ("adamw", "muon")
# SOURCE: Jordan 2024 (kellerjordan.github.io/posts/muon): a polynomial that moves singular values near 1 in few turns.
NEWTON_SCHULZ, TURNS = (3.4445, -4.7750, 2.0315), 5


def make_optimizers(
    model: BloomLanguageModel,
    kind: str,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    muon: "type[Muon] | None" = None,
) -> list[Optimizer]:
    """model (BloomLanguageModel): The model to train. Weight decay applies to matrices, not to biases and layer norms.
    kind (str): "adamw", or "muon": Muon for the matrices of BLOOM's blocks, AdamW for everything else.
    lr (float), betas (tuple[float, float]), weight_decay (float): AdamW's; Muon's steps are scaled to be as large.
    muon (type[Muon] | None): A subclass for matrices that are not whole in this process.
    RETURNS (list[Optimizer]): Each parameter belongs to one of them.
    """
    by_muon = [p for p in model.transformer.h.parameters() if kind == "muon" and p.dim() == 2]
    known = {id(p) for p in by_muon}
    others = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": [p for p in others if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in others if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, lr=lr, betas=betas)]
    if by_muon:
        optimizers.append((muon or Muon)(by_muon, lr=lr, weight_decay=weight_decay))
    return optimizers


class Muon(Optimizer):
    """Steps towards the orthogonal matrix that is nearest to the momentum.

    Equivalent to `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")`, except that it computes in float32 on CPU:
    without bfloat16 instructions, bfloat16 takes several times as long as the rest of training.

    SOURCE: Jordan 2024 (kellerjordan.github.io/posts/muon); the scale of the steps: Liu et al. 2025 (Muon is Scalable
    for LLM Training, arXiv 2502.16982).
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        """params (Iterable[Parameter]): Matrices.
        lr (float): A step has the root mean square of AdamW's steps with this learning rate.
        momentum (float): Nesterov momentum.
        weight_decay (float): Decoupled from the gradient, as in AdamW.
        RAISES (ValueError): A parameter is not a matrix.
        """
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        shapes = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.dim() != 2]
        if shapes:
            raise ValueError(
                f"Expected matrices, got parameters of shapes {shapes}. Give them to another optimizer."
            )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient. Closures are not called."""
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            # One direction at a time: it is as large as the matrix.
            for parameter, direction in self._directions(learning, group["momentum"]):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                # An orthogonal matrix's RMS is 1 / sqrt(its longer side).
                scale = 0.2 * sqrt(max(parameter.shape))
                parameter.add_(direction.to(parameter.dtype), alpha=-group["lr"] * scale)

    def _directions(
        self, parameters: Sequence[nn.Parameter], momentum: float
    ) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """YIELDS (tuple[Parameter, Tensor]): Each parameter and the orthogonal matrix to step along."""
        for parameter in parameters:
            yield parameter, orthogonal(self._look_ahead(parameter, momentum))

    def _look_ahead(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """RETURNS (Tensor): Nesterov's momentum, with this step's gradient in it."""
        grad, state = parameter.grad, self.state[parameter]
        assert grad is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(grad)
        mean = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        return grad.lerp(mean, momentum)


def orthogonal(matrix: Tensor) -> Tensor:
    """matrix (Tensor): Shape (n, m).
    RETURNS (Tensor): A matrix with the same singular vectors. Singular values above 1/500 of the norm become about 0.7
        to 1.2; smaller ones stay smaller. Shape (n, m).
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(torch.float32 if matrix.device.type == "cpu" else torch.bfloat16)
    x = x / x.norm().clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(TURNS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def state_keys(optimizer: Optimizer) -> tuple[str, ...]:
    """RETURNS (tuple[str, ...]): The names of an optimizer's state for each parameter, present after its first step."""
    return ("momentum_buffer",) if isinstance(optimizer, Muon) else ("step", "exp_avg", "exp_avg_sq")
