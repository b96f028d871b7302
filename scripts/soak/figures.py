"""What a part of the soak is given, and what it reports."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Budget:
    """How much a part may do; it ends at what comes first.

    seconds (float): From the time when it was made; a part shares them out among its kinds.
    inputs (int): In all kinds together.
    seed (int): Of everything that is random.
    kept (Path): Folder for inputs that show a fault. Exists.
    """

    seconds: float
    inputs: int
    seed: int
    kept: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """RETURNS (float): Seconds that are left; below 0 when the time is over."""
        return self.seconds - (time.monotonic() - self.started)

    def random(self, kind: str) -> random.Random:
        """RETURNS (Random): Numbers of one kind of input, which do not depend on what ran before."""
        return random.Random(f"{self.seed}:{kind}")

    def part(self, inputs: float, seconds: float) -> "Budget":
        """RETURNS (Budget): A budget that starts now, of no more than what is left."""
        return Budget(min(seconds, max(self.left, 0.0)), max(int(inputs), 0), self.seed, self.kept)


@dataclass
class Figure:
    """What came of one kind of input.

    kind (str): What was tried, as the table in docs/robustness.md calls it.
    tried (int): Number of inputs.
    found (list[str]): A line for each that broke a promise; empty is success.
    seconds (float): How long it took.
    notes (dict[str, object]): Further figures, by what they are.
    """

    kind: str
    tried: int = 0
    found: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: dict[str, object] = field(default_factory=dict)
