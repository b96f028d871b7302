"""Memory and time of one training step of a language model, forward and backward, with our model and Hugging Face's."""

import sys
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from measuring import (
    MEGA,
    Geometry,
    in_fresh_process,
    median,
    memory,
    new_parser,
    report,
    reset_peak,
    write_checkpoint,
)
from safetensors import safe_open
from safetensors.torch import save_file
from save_load import GEOMETRIES
from texts import new_tokenizer, pseudo_lines

from spacy_bloom import BloomForCausalLM
from spacy_bloom.pretraining.gradients import add_gradients

OURS, THEIRS = "spacy_bloom", "transformers"
PEAK = 0.6  # of Hugging Face's
TOLERANCE = 1e-4  # of the largest number of a gradient


def run_step(system: str, model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Run a step as each system does in training. RETURNS (float): The average loss of the next pieces."""
    if system == OURS:
        labels = torch.cat((ids[:, 1:], torch.full_like(ids[:, :1], -100)), dim=1)
        return add_gradients(model, ids.flatten(), labels.flatten(), [ids.shape[1]] * len(ids))
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.item()


def step(system: str, checkpoint: str, gradients: str | None, options: Namespace) -> dict[str, Any]:
    """Measure one step of one system. Has to run in its own process.

    gradients (str | None): File to write the gradients to.
    RETURNS (dict[str, Any]): Seconds, peak memory without imports in bytes, and the loss.
    """
    torch.set_num_threads(options.threads)
    imported = memory()
    make = BloomForCausalLM if system == OURS else transformers.BloomForCausalLM
    model = make.from_pretrained(checkpoint).train()
    if options.checkpointing:
        model.gradient_checkpointing_enable()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, model.config.vocab_size, (options.rows, options.length), generator=generator)
    reset_peak()
    start = time.perf_counter()
    loss = run_step(system, model, ids)
    result = {
        "seconds": time.perf_counter() - start,
        "peak": memory("VmHWM") - imported,
        "loss": loss,
    }
    if gradients is not None:
        found = {name: p.grad for name, p in model.named_parameters()}
        # The bias of the keys changes all scores of a query by the same amount. Its gradient is 0, apart from rounding.
        save_file(
            {name: g for name, g in found.items() if not name.endswith("query_key_value.bias")}, gradients
        )
    return result


def largest_gap(one: str, other: str) -> float:
    """RETURNS (float): The largest difference between two files of gradients, relative to the largest value of each."""
    with safe_open(one, framework="pt") as ours, safe_open(other, framework="pt") as theirs:
        if set(ours.keys()) != set(theirs.keys()):
            return float("inf")
        gaps = []
        for name in ours.keys():  # noqa: SIM118 (not a dict)
            x, y = ours.get_tensor(name), theirs.get_tensor(name)
            gaps.append(((x - y).abs().max() / y.abs().max().clamp(min=1e-12)).item())
        return max(gaps)


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="geometry of bloom-560m or bloom-1b7, or small"
    )
    parser.add_argument("--rows", type=int, default=4, help="sequences")
    parser.add_argument("--length", type=int, default=256, help="pieces per sequence")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    parser.add_argument(
        "--checkpointing", action="store_true", help="use gradient checkpointing in both systems"
    )
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if losses or gradients differ or our peak exceeds its bound, else 0."""
    options = options_from_command_line()
    turns: dict[str, list[dict[str, Any]]] = {OURS: [], THEIRS: []}
    with TemporaryDirectory(dir=options.work) as directory:
        checkpoint = str(Path(directory) / "checkpoint")
        geometry: Geometry = GEOMETRIES[options.geometry]
        write_checkpoint(Path(checkpoint), geometry, new_tokenizer(pseudo_lines(2000), 2000))
        files = {system: str(Path(directory) / f"{system}.safetensors") for system in turns}
        for number in range(options.rounds):
            for system in turns:
                file = files[system] if number == 0 else None
                turns[system].append(in_fresh_process(step, system, checkpoint, file, options))
                print(f"round {number + 1}, {system}: {turns[system][-1]['seconds']:.1f} s", flush=True)
        gap = largest_gap(files[OURS], files[THEIRS])
    rows = [
        {
            "system": system,
            "seconds": median([turn["seconds"] for turn in found]),
            "MB peak": median([turn["peak"] for turn in found]) / MEGA,
            "loss": found[0]["loss"],
        }
        for system, found in turns.items()
    ]
    ratio = rows[0]["MB peak"] / rows[1]["MB peak"]
    notes = {
        f"peak, of {THEIRS}' (bound {PEAK})": ratio,
        f"time, of {THEIRS}', median of the rounds": median(
            [a["seconds"] / b["seconds"] for a, b in zip(turns[OURS], turns[THEIRS], strict=True)]
        ),
        "difference of the losses": abs(rows[0]["loss"] - rows[1]["loss"]),
        f"largest relative difference of gradients (bound {TOLERANCE:.0e})": gap,
    }
    title = (
        f"{options.rows} x {options.length} pieces, {options.geometry}, {geometry.n_bytes / MEGA:,.0f} MB of "
        f"weights, {options.threads} threads, medians of {options.rounds} rounds"
    )
    report(title, rows, notes, options.json)
    return int(not (ratio <= PEAK and gap <= TOLERANCE))


if __name__ == "__main__":
    sys.exit(main())
