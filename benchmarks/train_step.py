"""Time and memory of a training step with token labels, with ours in `nlp.update` and Hugging Face's model."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
import torch
import transformers
from measuring import MEGA, Geometry, median, memory, new_parser, report, reset_peak, write_checkpoint
from save_load import GEOMETRIES
from spacy.training import Example
from texts import documents, new_tokenizer, pseudo_lines

from spacy_bloom import BloomForTokenClassification

OURS, SPARSE, LAST, LORA, FROZEN = "ours", "ours, sparse", "ours, 8 layers", "ours, LoRA", "ours, frozen"
RECOMPUTED = "ours, sparse, recomputed"
THEIRS = "transformers"
SETTINGS: dict[str, dict[str, Any]] = {
    OURS: {},
    SPARSE: {"sparse_embeddings": True},
    RECOMPUTED: {"sparse_embeddings": True, "gradient_checkpointing": True},
    LAST: {"trainable_layers": 8},
    LORA: {"lora": {"r": 8}},
    FROZEN: {"train_transformer": False},
}
N_LABELS, TIME, PEAK = 8, 0.69, 8.0  # times Hugging Face's, GiB
TOLERANCE = 1e-5
RATE = 1e-5


class Stepper:
    """A system in its own process, which keeps its model and the state of its optimizer."""

    def __init__(self, system: str, checkpoint: str, texts: list[str], options: Namespace) -> None:
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))
        self._pool.submit(_load, system, checkpoint, texts, options.threads).result()

    def step(self) -> float:
        """RETURNS (float): The seconds of one step."""
        return self._pool.submit(_timed).result()

    def peak(self) -> int:
        """RETURNS (int): The peak memory without imports, in bytes."""
        return self._pool.submit(_peak).result()

    def close(self) -> None:
        """End the process and free its memory."""
        self._pool.shutdown()


_step: Callable[[], None]
_imported = 0


def _load(system: str, checkpoint: str, texts: list[str], threads: int) -> None:
    global _step, _imported
    torch.set_num_threads(threads)
    make = _theirs if system == THEIRS else _ours
    _ = transformers.BloomForTokenClassification, spacy.blank("xx").add_pipe("bloom_transformer")
    _imported = memory()
    _step = make(checkpoint, texts, SETTINGS.get(system, {}))
    reset_peak()


def _timed() -> float:
    start = time.perf_counter()
    _step()
    return time.perf_counter() - start


def _peak() -> int:
    return memory("VmHWM") - _imported


def _ours(checkpoint: str, texts: list[str], settings: dict[str, Any]) -> Callable[[], None]:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-bloom.TransformerModel.v2", "name": checkpoint, **settings}
    # One batch, as in Hugging Face's model, which pads all rows together.
    nlp.add_pipe("bloom_transformer", config={"model": model, "max_batch_items": 10**6})
    nlp.add_pipe("bloom_token_classifier", config={"target": "tag"})
    examples = []
    for text in texts:
        doc = nlp.make_doc(text)
        tags = [f"T{i % N_LABELS}" for i in range(len(doc))]
        examples.append(Example.from_dict(doc, {"tags": tags}))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = RATE
    return lambda: nlp.update(examples, sgd=optimizer) and None


def _theirs(checkpoint: str, texts: list[str], settings: dict[str, Any]) -> Callable[[], None]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.BloomForTokenClassification.from_pretrained(checkpoint, num_labels=N_LABELS).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = torch.arange(batch["input_ids"].numel()).view_as(batch["input_ids"]) % N_LABELS

    def step() -> None:
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def largest_gap(directory: Path, geometry: Geometry) -> float:
    """RETURNS (float): The largest difference in loss or gradients of a step, relative to the largest value of each."""
    config = transformers.BloomConfig(**asdict(geometry), num_labels=N_LABELS)
    torch.manual_seed(0)
    theirs = transformers.BloomForTokenClassification(config)
    theirs.save_pretrained(directory)
    ours = BloomForTokenClassification.from_pretrained(directory)
    ids = torch.randint(geometry.vocab_size, (4, 63), generator=torch.Generator().manual_seed(0))
    losses = []
    for model in (theirs, ours):
        model.train()
        output = model(ids, labels=ids % N_LABELS)
        output.loss.backward()
        losses.append(output.loss.item())
    gaps = [abs(losses[0] - losses[1]) / losses[0]]
    found = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        # The bias of the keys changes all scores of a query by the same amount. Its gradient is 0, apart from rounding.
        if not name.endswith("query_key_value.bias"):
            exact = parameter.grad
            gaps.append(((found[name].grad - exact).abs().max() / exact.abs().max()).item())
    return max(gaps)


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="of bloom-560m, bloom-1b7, or small"
    )
    parser.add_argument("--rows", type=int, default=8, help="texts per batch")
    parser.add_argument("--length", type=int, default=127, help="pieces per text")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system, after a warm-up")
    parser.add_argument("--systems", nargs="+", choices=[*SETTINGS, THEIRS], default=[SPARSE, THEIRS])
    parser.add_argument(
        "--together", action="store_true", help="keep all systems in memory and let them take turns"
    )
    return parser.parse_args()


def measure(options: Namespace, checkpoint: str, texts: list[str]) -> dict[str, tuple[list[float], int]]:
    """RETURNS (dict[str, tuple[list[float], int]]): Seconds of each round and peak memory in bytes, by system."""
    found: dict[str, tuple[list[float], int]] = {}
    groups = [options.systems] if options.together else [[system] for system in options.systems]
    for group in groups:
        steppers = {system: Stepper(system, checkpoint, texts, options) for system in group}
        seconds: dict[str, list[float]] = {system: [] for system in group}
        for _ in range(options.rounds + 1):
            for system, stepper in steppers.items():
                seconds[system].append(stepper.step())
                print(f"{system}: {seconds[system][-1]:.1f} s", flush=True)
        for system, stepper in steppers.items():
            found[system] = seconds[system][1:], stepper.peak()
            stepper.close()
    return found


def main() -> int:
    """RETURNS (int): 1 if losses or gradients differ, else 0."""
    options = options_from_command_line()
    with TemporaryDirectory(dir=options.work) as directory:
        gap = largest_gap(Path(directory) / "check", GEOMETRIES["small"])
        checkpoint = Path(directory) / "checkpoint"
        lines = pseudo_lines(2000)
        tokenizer = new_tokenizer(lines, 2000)
        write_checkpoint(checkpoint, GEOMETRIES[options.geometry], tokenizer)
        n = options.length
        texts = list(documents(lines, tokenizer, options.rows, median=n, sigma=0.0, longest=n))
        found = measure(options, str(checkpoint), texts)
    rows = [
        {"system": system, "seconds": median(seconds), "GiB peak": peak / 2**30}
        for system, (seconds, peak) in found.items()
    ]
    notes: dict[str, float] = {
        f"largest relative difference of loss and gradients (bound {TOLERANCE:.0e})": gap
    }
    if THEIRS in found:
        for system, (seconds, _) in found.items():
            pairs = zip(seconds, found[THEIRS][0], strict=True)
            goals = f" (goals {TIME}, {PEAK:g} GiB)" if system == SPARSE else ""
            notes[f"time of {system}, times {THEIRS}'{goals}"] = median([a / b for a, b in pairs])
    title = (
        f"{options.rows} x {options.length} pieces, {options.geometry}, "
        f"{GEOMETRIES[options.geometry].n_bytes / MEGA:,.0f} MB of weights, {options.threads} threads, medians of "
        f"{options.rounds} rounds"
    )
    report(title, rows, notes, options.json)
    return int(not gap <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
