"""The training loop of a language model, with exact resumption, within a budget of steps or minutes."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..bloom.heads import BloomLanguageModel
from ..bloom.losses import IGNORED_LABEL
from ..errors import InputError
from ..files import write_file
from .config import TrainingConfig, learning_rate
from .data import Batch, Batches, DataConfig, EncodedFile
from .engine import Engine, OneProcess
from .evaluation import Evaluation, evaluate_by
from .masking import Masking
from .optimizers import make_optimizers
from .state import Progress, find_state, state_path


@dataclass(frozen=True)
class StepReport:
    """step (int): Steps done.
    loss (float | None): Loss of the last step, in nats per piece; None before the first one.
    n_pieces (int): Pieces trained on so far.
    fraction (float): Fraction of the budget spent, 0 to 1.
    evaluation (Evaluation | None): The evaluation after this step, if there was one.
    """

    step: int
    loss: float | None
    n_pieces: int
    fraction: float
    evaluation: Evaluation | None


class LMTrainer:
    """Trains a model in place, and keeps state and history of the run in a directory.

    `output/state` holds what `resume` needs; `output/history.jsonl` has one line per evaluation. A step depends only
    on weights, optimizer, configs and its number: no random state is carried over.
    """

    def __init__(
        self,
        model: BloomLanguageModel,
        files: Sequence[EncodedFile],
        config: TrainingConfig,
        data: DataConfig,
        output: Path,
        *,
        masking: Masking | None = None,
        run: Mapping[str, Any] | None = None,
        engine: Engine | None = None,
    ) -> None:
        """model (BloomLanguageModel): Trained in place.
        files (Sequence[EncodedFile]): Training and evaluation data.
        config (TrainingConfig), data (DataConfig): Sections of the config.
        output (Path): Directory for state and history.
        masking (Masking | None): Masks pieces to predict them from both sides; None for a causal model.
        run (Mapping[str, Any] | None): Kept in the state as `progress.run`.
        engine (Engine | None): What runs the model, if it is on several ranks; None for one process.
        """
        self.engine = OneProcess(model) if engine is None else engine
        self.model, self.files, self.config, self.data = model, files, config, data
        self.masking = masking
        self.batches = Batches(files, data, seed=config.seed)
        self.optimizers = make_optimizers(
            model,
            config.optimizer,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            muon=self.engine.muon,
        )
        self.output, self.history_path = output, output / "history.jsonl"
        self.progress = Progress(run=dict(run or {}))
        self.stopping = False
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()

    def resume(self) -> None:
        """Resume from the state in `output/state`.

        RAISES (CheckpointError): It is damaged, or belongs to another model.
        """
        path = find_state(self.output) or state_path(self.output)
        self.progress = self.engine.load(path, self.optimizers)

    def stop(self) -> None:
        """Stop after the current step; the state is saved."""
        self.stopping = True

    def save(self) -> None:
        """Write the state to `output/state`."""
        self.engine.save(self.output, self.optimizers, self.progress)

    def train(self) -> Iterator[StepReport]:
        """Train until the budget is spent or `stop` is called, then save the state.

        A new run begins with an evaluation, so that the effect of fine-tuning can be seen.
        YIELDS (StepReport): After every step.
        RAISES (InputError): The loss is not finite.
        """
        self._prune_history()
        started = time.monotonic() - self.progress.minutes * 60
        saved, finished = self.progress.minutes, self.fraction >= 1
        if self.progress.step == 0:
            yield self._report(None, self._evaluate(started))
        while not (finished or self.stopping):
            loss = self._step()
            self._agree(started)
            finished = self.fraction >= 1
            yield self._report(loss, self._evaluate(started) if finished or self._must_evaluate() else None)
            if self._is_due(self.config.save_steps, self.config.save_minutes, saved):
                self.save()
                saved = self.progress.minutes
        self.save()

    @property
    def fraction(self) -> float:
        """RETURNS (float): Fraction of the budget spent, by steps or by minutes, whichever is greater."""
        by_steps = self.progress.step / (self.config.max_steps or math.inf)
        by_minutes = self.progress.minutes / (self.config.max_minutes or math.inf)
        return min(max(by_steps, by_minutes), 1.0)

    def _step(self) -> float:
        """RETURNS (float): Mean loss over the pieces of the step, in nats."""
        seed = self.config.seed + self.progress.step
        torch.manual_seed(seed)  # for dropout and masks
        self.model.train()
        batches = [self._next_batch() for _ in range(self.config.accumulate_gradient)]
        n_pieces = sum(len(batch.labels) for batch in batches)
        if self.masking is not None:
            batches = [self.masking.draw(batch) for batch in batches]
        predicted = [int((batch.labels != IGNORED_LABEL).sum()) for batch in batches]
        loss = self.engine.learn(
            [(batch, n / sum(predicted)) for batch, n in zip(batches, predicted, strict=True)],
            bidirectional_layers=0 if self.masking is None else self.masking.bidirectional_layers,
            seed=seed,
        )
        if not math.isfinite(loss):
            raise InputError(
                f"The loss of step {self.progress.step + 1} is {loss}. Lower training.learning_rate or raise "
                "training.warmup_steps, and resume from the last saved state."
            )
        if self.config.grad_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        rate = learning_rate(self.progress.step, self.fraction, self.config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.n_pieces += n_pieces
        self.progress.loss_sum += loss
        self.progress.loss_steps += 1
        return loss

    def _next_batch(self) -> Batch:
        progress = self.progress
        batch, progress.epoch, progress.place = self.batches.take(progress.epoch, progress.place)
        return batch

    def _agree(self, started: float) -> None:
        """Bring the clock up to date, and learn whether to stop."""
        minutes = (time.monotonic() - started) / 60
        self.progress.minutes, self.stopping = self.engine.agree(minutes, self.stopping)

    def _must_evaluate(self) -> bool:
        return self._is_due(self.config.eval_steps, self.config.eval_minutes, self.progress.eval_minutes)

    def _is_due(self, steps: int, minutes: float, last: float) -> bool:
        by_steps = bool(steps) and self.progress.step % steps == 0
        return by_steps or (bool(minutes) and self.progress.minutes - last >= minutes)

    def _evaluate(self, started: float) -> Evaluation | None:
        """RETURNS (Evaluation | None): None if no lines are held back."""
        self.model.eval()
        result = evaluate_by(self.engine.bits, self.files, self.data, self.masking)
        self._agree(started)
        progress = self.progress
        progress.eval_minutes = progress.minutes
        if result is None:
            return None
        is_best = progress.best_bpb is None or result.bpb < progress.best_bpb
        loss = progress.loss_sum / progress.loss_steps if progress.loss_steps else None
        row = {
            "step": progress.step,
            "minutes": progress.minutes,
            "n_pieces": progress.n_pieces,
            "loss": loss,
            "bpb": result.bpb,
            "bpb_by_file": result.bpb_by_file,
        }
        if self.engine.is_first:
            with self.history_path.open("a", encoding="utf8") as file:
                file.write(json.dumps(row) + "\n")
        progress.loss_sum, progress.loss_steps = 0.0, 0
        progress.best_bpb = result.bpb if is_best else progress.best_bpb
        return Evaluation(result.bpb, result.bpb_by_file, is_best)

    def _prune_history(self) -> None:
        """Remove evaluations after the saved state: they are repeated."""
        if not self.engine.is_first:
            return
        self.history_path.parent.mkdir(parents=True, exist_ok=True)
        rows = self.history_path.read_text("utf8").splitlines() if self.history_path.exists() else []
        kept = [row for row in rows if _step_of(row) <= self.progress.step] if self.progress.step else []
        write_file(self.history_path, "".join(row + "\n" for row in kept))

    def _report(self, loss: float | None, evaluation: Evaluation | None) -> StepReport:
        return StepReport(self.progress.step, loss, self.progress.n_pieces, self.fraction, evaluation)


def _step_of(row: str) -> float:
    """RETURNS (float): The step of a row of the history; infinity for a row that was only half written."""
    try:
        return float(json.loads(row)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
