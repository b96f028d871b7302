"""The training loop of a language model: exact to resume, within a budget of steps or minutes."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..bloom.heads import BloomForCausalLM
from ..bloom.losses import IGNORED_LABEL
from ..errors import ConfigError, InputError
from ..files import write_file
from .data import Batch, Batches, DataConfig, EncodedFile, held_back_batches
from .masking import Masking
from .optimizers import OPTIMIZERS, make_optimizers
from .state import Progress, load_state, save_state, state_path

CHOICES = {
    "save_dtype": ("float32", "float16", "bfloat16"),
    "objective": ("causal", "mntp"),
    "optimizer": OPTIMIZERS,
}


@dataclass(frozen=True)
class TrainingConfig:
    """Section [training] of a training config. A limit or an interval of 0 means none.

    max_steps (int), max_minutes (float): The budget; training ends when the first of them is spent. The
        minutes are those of the loop, evaluation included, and go on counting after a resumption.
    learning_rate (float): Peak of the schedule.
    learning_rate_floor (float): The part of the peak that is left at the end of the cosine.
    warmup_steps (int): Steps in which the learning rate rises linearly.
    optimizer (str): "adamw", or "muon", which learns more from each step of a first training: see `Muon`.
    weight_decay (float): Of matrices; biases and layer norms have none.
    grad_clip (float): Largest norm of the gradient.
    accumulate_gradient (int): Batches per step.
    gradient_checkpointing (bool): Recompute activations in the backward pass, to save memory.
    eval_steps (int), eval_minutes (float): How often the held-back lines are evaluated.
    save_steps (int), save_minutes (float): How often the state is saved.
    save_dtype (str): "float32", "float16" or "bfloat16", for the checkpoints; the state is always exact.
    seed (int): Of tokenizer, first weights, order of the data, masks and dropout.
    objective (str): "causal", or "mntp": masked next-piece prediction with attention to both sides, which prepares a
        checkpoint for bidirectional attention. See `Masking`.
    mask_rate (float): Part of the pieces that "mntp" masks.
    bidirectional_layers (int): The last layers, in which "mntp" attends to both sides; 0 for all. Where all do, nothing
        tells left from right.
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


@dataclass(frozen=True)
class Evaluation:
    """bpb (float): Bits per byte of all held-back lines together.
    bpb_by_file (dict[str, float]): The same by file.
    is_best (bool): Whether no earlier evaluation of the run was as good.
    """

    bpb: float
    bpb_by_file: dict[str, float]
    is_best: bool = False


@dataclass(frozen=True)
class StepReport:
    """step (int): Steps done.
    loss (float | None): Of the last step, in nats per piece; None before the first one.
    n_pieces (int): Pieces learned from so far.
    fraction (float): Part of the budget that is spent, 0 to 1.
    evaluation (Evaluation | None): If there was one after this step.
    """

    step: int
    loss: float | None
    n_pieces: int
    fraction: float
    evaluation: Evaluation | None


class LMTrainer:
    """Trains a model in place and keeps state and history of the run in a directory.

    `output/state` holds what `resume` needs; `output/history.jsonl` has one line per evaluation. What a step
    does depends on weights, optimizer, configs and its number only: no random generator is ever carried over.
    """

    def __init__(
        self,
        model: BloomForCausalLM,
        files: Sequence[EncodedFile],
        config: TrainingConfig,
        data: DataConfig,
        output: Path,
        *,
        masking: Masking | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> None:
        """model (BloomForCausalLM): Trained in place.
        files (Sequence[EncodedFile]): What to learn from and to evaluate on.
        config (TrainingConfig), data (DataConfig): Sections of the config.
        output (Path): Directory of state and history.
        masking (Masking | None): What is masked, to predict it from both sides; None for a causal model.
        run (Mapping[str, Any] | None): Kept in the state as `progress.run`.
        """
        self.model, self.files, self.config, self.data = model, files, config, data
        self.masking = masking
        self.batches = Batches(files, data, seed=config.seed)
        self.optimizers = make_optimizers(
            model,
            config.optimizer,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.state_path, self.history_path = state_path(output), output / "history.jsonl"
        self.progress = Progress(run=dict(run or {}))
        self.stopping = False
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()

    def resume(self) -> None:
        """Take up the state in `output/state`.

        RAISES (CheckpointError): It is damaged, or another model's.
        """
        self.progress = load_state(self.state_path, self.model, self.optimizers)

    def stop(self) -> None:
        """End after the current step; the state will be saved."""
        self.stopping = True

    def save(self) -> None:
        """Write the state to `output/state`."""
        save_state(self.state_path, self.model, self.optimizers, self.progress)

    def train(self) -> Iterator[StepReport]:
        """Train until the budget is spent or `stop` is called, and save the state.

        A new run begins with an evaluation, so that fine-tuning shows what it changes.
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
            self.progress.minutes = (time.monotonic() - started) / 60
            finished = self.fraction >= 1
            yield self._report(loss, self._evaluate(started) if finished or self._must_evaluate() else None)
            if self._is_due(self.config.save_steps, self.config.save_minutes, saved):
                self.save()
                saved = self.progress.minutes
        self.save()

    @property
    def fraction(self) -> float:
        """RETURNS (float): Part of the budget that is spent: by steps or by minutes, whichever is further."""
        by_steps = self.progress.step / (self.config.max_steps or math.inf)
        by_minutes = self.progress.minutes / (self.config.max_minutes or math.inf)
        return min(max(by_steps, by_minutes), 1.0)

    def _step(self) -> float:
        """RETURNS (float): Mean loss over the pieces of the step, in nats."""
        torch.manual_seed(self.config.seed + self.progress.step)  # for dropout and masks
        self.model.train()
        batches = [self._next_batch() for _ in range(self.config.accumulate_gradient)]
        n_pieces = sum(len(batch.labels) for batch in batches)
        if self.masking is not None:
            batches = [self.masking.draw(batch) for batch in batches]
        predicted = [int((batch.labels != IGNORED_LABEL).sum()) for batch in batches]
        loss = sum(
            self._backward(batch, n / sum(predicted)) for batch, n in zip(batches, predicted, strict=True)
        )
        if not math.isfinite(loss):
            raise InputError(
                f"The loss of step {self.progress.step + 1} is {loss}. Lower training.learning_rate or raise "
                "training.warmup_steps; the last saved state is good."
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

    def _backward(self, batch: Batch, share: float) -> float:
        """RETURNS (float): The batch's part of the step's loss."""
        layers = 0 if self.masking is None else self.masking.bidirectional_layers
        return add_gradients(
            self.model, *_on_device(self.model, batch), batch.lengths, share, bidirectional_layers=layers
        )

    def _must_evaluate(self) -> bool:
        return self._is_due(self.config.eval_steps, self.config.eval_minutes, self.progress.eval_minutes)

    def _is_due(self, steps: int, minutes: float, last: float) -> bool:
        by_steps = bool(steps) and self.progress.step % steps == 0
        return by_steps or (bool(minutes) and self.progress.minutes - last >= minutes)

    def _evaluate(self, started: float) -> Evaluation | None:
        """RETURNS (Evaluation | None): None if no lines are held back."""
        result = evaluate(self.model, self.files, self.data, self.masking)
        progress = self.progress
        progress.minutes = progress.eval_minutes = (time.monotonic() - started) / 60
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
        with self.history_path.open("a", encoding="utf8") as file:
            file.write(json.dumps(row) + "\n")
        progress.loss_sum, progress.loss_steps = 0.0, 0
        progress.best_bpb = result.bpb if is_best else progress.best_bpb
        return Evaluation(result.bpb, result.bpb_by_file, is_best)

    def _prune_history(self) -> None:
        """Remove evaluations after the saved state: they will be done again."""
        self.history_path.parent.mkdir(parents=True, exist_ok=True)
        rows = self.history_path.read_text("utf8").splitlines() if self.history_path.exists() else []
        kept = [row for row in rows if _step_of(row) <= self.progress.step] if self.progress.step else []
        write_file(self.history_path, "".join(row + "\n" for row in kept))

    def _report(self, loss: float | None, evaluation: Evaluation | None) -> StepReport:
        return StepReport(self.progress.step, loss, self.progress.n_pieces, self.fraction, evaluation)


def _step_of(row: str) -> float:
    """RETURNS (float): The step of a row of the history; infinity for a row that a kill has left half written."""
    try:
        return float(json.loads(row)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def add_gradients(
    model: BloomForCausalLM,
    input_ids: Tensor,
    labels: Tensor,
    lengths: Sequence[int],
    share: float = 1.0,
    *,
    bidirectional_layers: int = 0,
) -> float:
    """Add the gradients of a packed batch's mean loss to those of the weights.

    A tied embedding is read apart from the graph, and the gradient of the rows that were read is added to the
    head's: it would be as large as the embedding otherwise, 1 GB at bloom-560m.

    input_ids, labels (Tensor): The sequences one after the other, and what follows each piece; -100 is ignored.
        Each of shape (pieces,).
    lengths (Sequence[int]): Pieces of each sequence.
    share (float): Factor of loss and gradients.
    bidirectional_layers (int): See `BloomModel.encode_packed`.
    RETURNS (float): The loss in nats, times the share.
    """
    weight, embeds = model.transformer.word_embeddings.weight, None
    if model.config.tie_word_embeddings and weight.requires_grad:
        embeds = nn.functional.embedding(input_ids, weight.detach()).requires_grad_()
    hidden = model.transformer.encode_packed(
        input_ids if embeds is None else None,
        lengths,
        inputs_embeds=embeds,
        bidirectional_layers=bidirectional_layers,
    )
    kept = labels != IGNORED_LABEL  # the logits of others are not computed
    if not kept.all():
        hidden, labels = hidden[kept], labels[kept]
    loss = model.lm_head.loss(hidden, labels) * share
    loss.backward()
    if embeds is not None:
        assert weight.grad is not None and embeds.grad is not None
        weight.grad.index_add_(0, input_ids, embeds.grad)
    return loss.item()


def learning_rate(step: int, fraction: float, config: TrainingConfig) -> float:
    """step (int): Steps done.
    fraction (float): Part of the budget that is spent, 0 to 1.
    RETURNS (float): A linear rise over the warm-up, times a cosine from peak to floor over the budget.
    """
    rise = min((step + 1) / (config.warmup_steps or 1), 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * fraction))
    floor = config.learning_rate_floor
    return config.learning_rate * rise * (floor + (1 - floor) * cosine)


@torch.no_grad()
def evaluate(
    model: BloomForCausalLM, files: Sequence[EncodedFile], data: DataConfig, masking: Masking | None = None
) -> Evaluation | None:
    """Bits per byte of the held-back lines, by which models with different tokenizers can be compared.

    It is minus log2 of the probability of each line's pieces (not of the `</s>` after them), given `</s>`
    before them and nothing else, divided by the UTF-8 bytes of the lines. With a masking, it is that of each piece
    given all of its line but the pieces that are masked with it.

    model (BloomForCausalLM): Left in evaluation mode.
    files (Sequence[EncodedFile]): Those without held-back lines are passed over.
    data (DataConfig): Size of a batch.
    masking (Masking | None): None for a causal model.
    RETURNS (Evaluation | None): None if no lines are held back.
    """
    model.eval()
    files = [file for file in files if file.held_back]
    bits = {
        file.name: sum(_bits(model, batch, masking) for batch in held_back_batches(file, data))
        for file in files
    }
    n_bytes = sum(file.held_back_bytes for file in files)
    if not files:
        return None
    return Evaluation(sum(bits.values()) / n_bytes, {f.name: bits[f.name] / f.held_back_bytes for f in files})


def _bits(model: BloomForCausalLM, batch: Batch, masking: Masking | None) -> float:
    if masking is not None:
        return sum(_bits_of(model, turn, masking.bidirectional_layers) for turn in masking.turns(batch))
    return _bits_of(model, batch, 0)


def _bits_of(model: BloomForCausalLM, batch: Batch, bidirectional_layers: int) -> float:
    input_ids, labels = _on_device(model, batch)
    hidden = model.transformer.encode_packed(
        input_ids, batch.lengths, bidirectional_layers=bidirectional_layers
    )
    kept = labels != IGNORED_LABEL  # the logits of others are not computed
    return model.lm_head.nll(hidden[kept], labels[kept]).double().sum().item() / math.log(2)


def _on_device(model: BloomForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """RETURNS (tuple[Tensor, Tensor]): Ids and labels where the model is. Each of shape (pieces,)."""
    return batch.input_ids.to(model.device), batch.labels.to(model.device)
