"""Section [training] of a training config, and its learning rate schedule."""

import math
from dataclasses import asdict, dataclass

from ..errors import ConfigError
from .optimizers import OPTIMIZERS

CHOICES = {
    "save_dtype": ("float32", "float16", "bfloat16"),
    "objective": ("causal", "mntp"),
    "optimizer": OPTIMIZERS,
    "compute_dtype": ("float32", "bfloat16"),
}


@dataclass(frozen=True)
class TrainingConfig:
    """Section [training] of a training config. A limit or an interval of 0 means none.

    max_steps (int), max_minutes (float): The budget; training ends when either is spent. Minutes include
        evaluation, and go on counting when a run is resumed.
    learning_rate (float): Peak of the schedule.
    learning_rate_floor (float): Fraction of the peak at the end of the cosine.
    warmup_steps (int): Steps in which the learning rate rises linearly.
    optimizer (str): "adamw", or "muon", which learns more per step when training from scratch: see `Muon`.
    weight_decay (float): Applied to matrices, not to biases and layer norms.
    grad_clip (float): Maximum norm of the gradient.
    accumulate_gradient (int): Batches per step.
    gradient_checkpointing (bool): Recompute activations in the backward pass, to save memory.
    compute_dtype (str): "float32", or "bfloat16" for the weights and hidden states of a pass, on several ranks; what
        learns stays float32.
    eval_steps (int), eval_minutes (float): How often the held-back lines are evaluated.
    save_steps (int), save_minutes (float): How often the state is saved.
    save_dtype (str): "float32", "float16" or "bfloat16", for the checkpoints; the state is always exact.
    seed (int): Seed for the tokenizer, initial weights, order of the data, masks and dropout.
    objective (str): "causal", or "mntp": masked next-piece prediction with attention to both sides, which prepares a
        checkpoint for bidirectional attention. See `Masking`.
    mask_rate (float): Fraction of the pieces that "mntp" masks.
    bidirectional_layers (int): Number of last layers in which "mntp" attends to both sides; 0 for all. If all do, the
        model cannot tell left from right.
    RAISES (ConfigError): A value is out of range.
    """

    learning_rate: float
    max_steps: int = 0
    max_minutes: float = 0.0
    warmup_steps: int = 0
    learning_rate_floor: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    optimizer: str = "adamw"
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    accumulate_gradient: int = 1
    gradient_checkpointing: bool = False
    compute_dtype: str = "float32"
    eval_steps: int = 0
    eval_minutes: float = 0.0
    save_steps: int = 0
    save_minutes: float = 5.0
    save_dtype: str = "float32"
    seed: int = 0
    objective: str = "causal"
    mask_rate: float = 0.2
    bidirectional_layers: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str) and not 0 <= value < math.inf:
                raise ConfigError(f"training.{name} is {value}; it must be finite and not negative.")
        if not (self.max_steps or self.max_minutes):
            raise ConfigError("Training would never end: set training.max_steps or training.max_minutes.")
        if self.accumulate_gradient < 1:
            raise ConfigError("training.accumulate_gradient is 0; it must be at least 1.")
        if self.learning_rate_floor > 1 or self.beta1 >= 1 or self.beta2 >= 1:
            raise ConfigError("In [training], learning_rate_floor must be <= 1, beta1 and beta2 < 1.")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"training.{name} is {value!r}; expected one of {choices}.")
        if self.bidirectional_layers and self.objective == "causal":
            raise ConfigError(
                'training.bidirectional_layers is for training.objective = "mntp"; leave it out.'
            )


def learning_rate(step: int, fraction: float, config: TrainingConfig) -> float:
    """step (int): Steps done.
    fraction (float): Fraction of the budget spent, 0 to 1.
    RETURNS (float): A linear warm-up times a cosine from peak to floor over the budget.
    """
    rise = min((step + 1) / (config.warmup_steps or 1), 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * fraction))
    floor = config.learning_rate_floor
    return config.learning_rate * rise * (floor + (1 - floor) * cosine)
