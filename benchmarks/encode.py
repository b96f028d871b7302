"""Speed and memory of nlp.pipe with only a transformer: ours in float32 and int8, and spacy-transformers with the same
checkpoint.
"""

import sys
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measuring import (
    INT8,
    MEGA,
    OURS,
    STRIDED,
    THEIRS,
    Geometry,
    in_fresh_process,
    largest_difference,
    median,
    memory,
    new_parser,
    piece_vectors,
    report,
    reset_peak,
    seconds_of_products,
    transformer_pipeline,
    write_checkpoint,
)
from texts import add_text_options, make_texts, new_tokenizer, pseudo_lines, text_lines

TOLERANCE = 1e-4
WARM_UP = 64  # Docs
PRODUCT_ROWS = 2048
SHARE, INT8_SPEED, INT8_WORDS = 0.88, 1.6, 4.0  # goals


def measure(
    system: str, checkpoint: str, texts: list[str], options: Namespace, n_sample: int
) -> dict[str, Any]:
    """Measure one round of one system. Has to run in its own process.

    n_sample (int): The number of Docs whose vectors are returned.
    RETURNS (dict[str, Any]): Seconds, bytes of memory before and at the peak, and the vectors.
    """
    torch.set_num_threads(options.threads)
    nlp = transformer_pipeline(system, checkpoint)
    nlp(texts[0])  # weights are mapped, and only use memory once they are read
    loaded = memory()
    for _ in nlp.pipe(texts[:WARM_UP], batch_size=options.batch_size):
        pass
    reset_peak()
    start = time.perf_counter()
    for _ in nlp.pipe(texts, batch_size=options.batch_size):
        pass
    seconds = time.perf_counter() - start
    peak = memory("VmHWM")
    sample = sorted(texts, key=len)[:: max(1, len(texts) // n_sample)] if n_sample else []
    products = seconds_of_products(geometry_of(options), PRODUCT_ROWS) if system == OURS else 0.0
    vectors = piece_vectors(nlp, sample)
    return {"seconds": seconds, "loaded": loaded, "peak": peak, "vectors": vectors, "products": products}


def make_inputs(directory: Path, options: Namespace) -> tuple[list[str], int]:
    """Write the checkpoint. RETURNS (tuple[list[str], int]): The texts and their total number of pieces."""
    n_lines = max(20_000, options.docs * 10)
    lines = text_lines(options.text, n_lines) if options.text else pseudo_lines(n_lines)
    tokenizer = new_tokenizer(lines, options.vocab_size)
    write_checkpoint(directory, geometry_of(options), tokenizer)
    return make_texts(lines, tokenizer, options)


def geometry_of(options: Namespace) -> Geometry:
    """RETURNS (Geometry): The geometry of the checkpoint."""
    return Geometry(options.hidden_size, options.n_layer, options.n_head, options.vocab_size)


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--docs", type=int, default=600, help="Docs per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per system")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=128,
        help="batch size of nlp.pipe, in Docs; 128 is the value spacy init config sets for a transformer",
    )
    add_text_options(parser, hidden_size=512, n_layer=8, n_head=8)
    parser.add_argument(
        "--text", type=Path, help="directory with .txt files to draw lines from (default: made-up words)"
    )
    parser.add_argument(
        "--strided", action="store_true", help="include spacy-transformers with its default spans"
    )
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if the vectors of the systems differ, else 0."""
    options = options_from_command_line()
    systems = [OURS, INT8, THEIRS] + [STRIDED] * options.strided
    turns: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    with TemporaryDirectory(dir=options.work) as directory:
        texts, n_pieces = make_inputs(Path(directory), options)
        for number in range(options.rounds):
            for system in systems:
                n_sample = 50 if number == 0 and system in (OURS, THEIRS) else 0
                turns[system].append(in_fresh_process(measure, system, directory, texts, options, n_sample))
                print(f"round {number + 1}, {system}: {turns[system][-1]['seconds']:.1f} s", flush=True)
    n_words = sum(len(text.split()) for text in texts)
    rows = [row_of(system, turns[system], n_words, n_pieces) for system in systems]
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(turns[OURS], turns[THEIRS], strict=True)]
    difference = largest_difference(turns[OURS][0]["vectors"], turns[THEIRS][0]["vectors"])
    notes = {
        f"times as fast as {THEIRS}, median of the rounds": median(ratios),
        "lowest of a round": min(ratios),
        "highest of a round": max(ratios),
        f"share of the limit that plain products set (goal {SHARE})": median(
            [n_pieces * turn["products"] / turn["seconds"] for turn in turns[OURS]]
        ),
        f"int8, times our float32 (goal {INT8_SPEED})": median(
            [a["seconds"] / b["seconds"] for a, b in zip(turns[OURS], turns[INT8], strict=True)]
        ),
        f"int8, times {THEIRS} (goal {INT8_WORDS})": median(
            [a["seconds"] / b["seconds"] for a, b in zip(turns[THEIRS], turns[INT8], strict=True)]
        ),
        f"largest difference of piece vectors (bound {TOLERANCE:.0e})": difference,
    }
    title = (
        f"{len(texts)} Docs, {n_words} words, {n_pieces} pieces; hidden {options.hidden_size} x {options.n_layer} "
        f"layers, {options.threads} threads, batches of {options.batch_size}, medians of {options.rounds} rounds"
    )
    report(title, rows, notes, options.json)
    return int(not difference <= TOLERANCE)


def row_of(system: str, turns: list[dict[str, Any]], n_words: int, n_pieces: int) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The system's row of the table."""
    seconds = median([turn["seconds"] for turn in turns])
    loaded, peak = (median([turn[key] for turn in turns]) / MEGA for key in ("loaded", "peak"))
    return {
        "system": system,
        "words/s": n_words / seconds,
        "pieces/s": n_pieces / seconds,
        "MB loaded": loaded,
        "MB peak": peak,
        "MB of encoding": peak - loaded,
    }


if __name__ == "__main__":
    sys.exit(main())
