"""Shared code of the benchmarks: checkpoints with random weights, pipelines, new processes, memory and tables."""

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from safetensors.torch import save_file
from spacy.language import Language

from spacy_bloom import BloomConfig, BloomModel, BloomTokenizerFast

os.environ["HF_HUB_OFFLINE"] = "1"  # no measurement should wait for the network

OURS, THEIRS, STRIDED = "spacy_bloom", "spacy-transformers", "spacy-transformers, strided"
INT8 = "spacy_bloom, int8"
MEGA = 1e6


@dataclass(frozen=True)
class Geometry:
    """The fields of BloomConfig that determine the cost of a model."""

    hidden_size: int
    n_layer: int
    n_head: int
    vocab_size: int

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): The size of the weights in float32."""
        return 4 * sum(math.prod(shape) for shape in _shapes(self).values())


def _shapes(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = BloomModel(BloomConfig(**asdict(geometry)))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def write_checkpoint(path: Path, geometry: Geometry, tokenizer: BloomTokenizerFast, *, seed: int = 0) -> None:
    """Write random float32 weights in the Hugging Face layout, with one shard per block to limit memory.

    Vectors and biases are random as well, so that any mistake in them changes the output.
    """
    tokenizer.save_pretrained(path)
    config = BloomConfig(**asdict(geometry), pad_token_id=3, extra={"architectures": ["BloomModel"]})
    (path / "config.json").write_text(config.to_json_string(), encoding="utf8")
    shards: dict[str, list[str]] = {}
    shapes = _shapes(geometry)
    for name in shapes:
        block = name.split(".")[1] if name.startswith("h.") else "rest"
        shards.setdefault(block, []).append(name)
    weight_map = {}
    generator = torch.Generator().manual_seed(seed)
    for number, names in enumerate(shards.values(), start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weights = {name: torch.empty(shapes[name]).normal_(std=0.02, generator=generator) for name in names}
        for name, value in weights.items():
            if "layernorm.weight" in name or name == "ln_f.weight":
                value.add_(1.0)
        save_file(weights, path / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": geometry.n_bytes}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")


def transformer_pipeline(system: str, checkpoint: str) -> Language:
    """RETURNS (Language): A pipeline with a tokenizer and a transformer, with its weights in memory or mapped."""
    nlp = spacy.blank("xx")
    if system in (OURS, INT8):
        model = {"@architectures": "spacy-bloom.TransformerModel.v2", "name": checkpoint}
        model["quantization"] = "int8" if system == INT8 else None
        nlp.add_pipe("bloom_transformer", config={"model": model})
    else:
        # Whole Docs by default, because in strided spans, a piece cannot see what precedes its span.
        whole = {"@span_getters": "spacy-transformers.doc_spans.v1"}
        model = {"name": checkpoint, **({} if system == STRIDED else {"get_spans": whole})}
        nlp.add_pipe("transformer", config={"model": model}).model.initialize()
    return nlp


def seconds_of_products(geometry: Geometry, rows: int, repeats: int = 5) -> float:
    """RETURNS (float): The seconds per piece for the products of all blocks alone, a lower bound for encoding.

    rows (int): The number of pieces that are multiplied at once.
    """
    size = geometry.hidden_size
    total = 0.0
    for features, columns in ((3 * size, size), (size, size), (4 * size, size), (size, 4 * size)):
        weight, inner = torch.randn(features, columns), torch.randn(rows, columns)
        found = []
        with torch.inference_mode():
            for _ in range(repeats + 1):
                start = time.perf_counter()
                torch.nn.functional.linear(inner, weight)
                found.append(time.perf_counter() - start)
        total += median(found[1:])
    return geometry.n_layer * total / rows


def piece_vectors(nlp: Language, texts: Sequence[str]) -> list[np.ndarray]:
    """RETURNS (list[ndarray]): The output of the transformer for each Doc, without padding. Shape (pieces, hidden)."""
    data = [doc._.trf_data for doc in nlp.pipe(texts)]
    return [d.model_output["last_hidden_state"][0][d.wordpieces.attention_mask[0] > 0] for d in data]


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """RETURNS (float): The largest difference, or infinity if the pieces are not the same."""
    if [x.shape for x in ours] != [x.shape for x in theirs]:
        return math.inf
    return max(float(np.abs(x - y).max()) for x, y in zip(ours, theirs, strict=True))


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """RETURNS (Any): The result of the function in a new interpreter, which shares no memory with this one."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def memory(field: str = "VmRSS") -> int:
    """RETURNS (int): The memory of this process in bytes, either current (VmRSS) or peak (VmHWM).

    getrusage would include the peak of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"No {field} in /proc/self/status; the benchmarks need Linux.")


def reset_peak() -> None:
    """Reset VmHWM to the current memory of the process."""
    Path("/proc/self/clear_refs").write_text("5")


def median(values: Sequence[float]) -> float:
    """RETURNS (float): The median."""
    return float(np.median(values))


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """RETURNS (ArgumentParser): A parser with the options of all benchmarks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: that of the system)")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    return parser


def report(title: str, rows: Sequence[dict[str, Any]], notes: dict[str, Any], file: Path | None) -> None:
    """Print a table and notes, and write both as JSON.

    rows (Sequence[dict[str, Any]]): The rows. All have the same keys, which are the column headers.
    notes (dict[str, Any]): Results that do not belong to a row.
    """
    table = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print(f"\n{title}\n")
    for row in table:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(n) if i == 0 else cell.rjust(n) for i, (cell, n) in enumerate(cells)))
    print()
    for name, value in notes.items():
        print(f"{name}: {_cell(value)}")
    if file is not None:
        file.write_text(
            json.dumps({"title": title, "rows": list(rows), **notes}, indent=2) + "\n", encoding="utf8"
        )


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
