"""The progress that `train-lm` shows."""

import time
from typing import Any, Literal

from tqdm import tqdm
from wasabi import row

from ...pretraining.loop import StepReport

BAR = "{percentage:3.0f}%|{bar:20}| {elapsed} {postfix}"
HEADER, WIDTHS = ("STEP", "PIECES", "LOSS", "BPB", ""), (8, 12, 8, 8, 4)
ALIGNS: tuple[Literal["r", "l"], ...] = ("r", "r", "r", "r", "l")
INERTIA = 0.9  # of the running mean of the speed


class LMDisplay:
    """A progress bar over the budget, in a terminal, and a row for every evaluation."""

    def __init__(self, fraction: float, *, shown: bool = True) -> None:
        """fraction (float): Part of the budget that is already spent, from 0 to 1.
        shown (bool): Whether there is anything to see: one of several ranks shows what all do.
        """
        self.shown = shown
        if shown:
            print(row(HEADER, widths=WIDTHS, aligns=ALIGNS))
        # None is for a terminal only.
        disable = None if shown else True
        self.bar = tqdm(total=1.0, initial=fraction, bar_format=BAR, disable=disable, leave=False)
        self.bpb = ""
        self.speed = 0.0  # pieces per second
        self.time, self.n_pieces = time.monotonic(), 0

    def __enter__(self) -> "LMDisplay":
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.close()

    def show(self, report: StepReport) -> None:
        """report (StepReport): The report of the latest step."""
        if not self.shown:
            return
        loss = "" if report.loss is None else f"{report.loss:.3f}"
        self._measure(report)
        if report.evaluation is not None:
            self.bpb = f"{report.evaluation.bpb:.4f}"
            best = "best" if report.evaluation.is_best else ""
            cells = (f"{report.step:,}", f"{report.n_pieces:,}", loss, self.bpb, best)
            tqdm.write(row(cells, widths=WIDTHS, aligns=ALIGNS))
        text = f"step {report.step:,}, loss {loss}, {self.speed:,.0f} pieces/s, bpb {self.bpb}"
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(report.fraction - self.bar.n)

    def _measure(self, report: StepReport) -> None:
        now = time.monotonic()
        speed = (report.n_pieces - self.n_pieces) / max(now - self.time, 1e-9)
        if report.evaluation is None and self.n_pieces:  # otherwise the time includes evaluation
            self.speed = INERTIA * self.speed + (1 - INERTIA) * speed if self.speed else speed
        self.time, self.n_pieces = now, report.n_pieces
