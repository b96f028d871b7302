"""How much does trimming the vocabulary to the languages of a corpus save, and do outputs stay the same?"""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import (
    MEGA,
    Geometry,
    in_fresh_process,
    memory,
    new_parser,
    report,
    reset_peak,
    write_checkpoint,
)
from save_load import GEOMETRIES

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.conversion.description import describe_directory
from spacy_bloom.conversion.trim import plan_trimming, trim_checkpoint
from spacy_bloom.pretraining.data import read_lines
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer
from spacy_bloom.published import N_PIECES

FEWER = 0.4  # share of the parameters
TOLERANCE = 1e-5  # of the largest logit
CHECKED_LINES = 20


def train(files: Sequence[Path], n_pieces: int) -> BloomTokenizerFast:
    """RETURNS (BloomTokenizerFast): A tokenizer trained on the files, with pieces for all of their languages."""
    config = TokenizerConfig(n_pieces, min_frequency=1)
    return BloomTokenizerFast(train_tokenizer([read_lines(file) for file in files], config, seed=0))


def trim(source: str, output: str, lines: Sequence[str], options: Namespace) -> dict[str, Any]:
    """Trim the vocabulary. Has to run in its own process.

    RETURNS (dict[str, Any]): Seconds, memory without imports in bytes, and the proof.
    """
    torch.set_num_threads(options.threads)
    imported = memory()
    reset_peak()
    start = time.perf_counter()
    encodings, outputs = trim_checkpoint(plan_trimming(Path(source), lines), Path(output))
    return {
        "seconds": time.perf_counter() - start,
        "peak": memory("VmHWM") - imported,
        "bytes per piece": encodings.n_bytes / encodings.n_pieces,
        "changed": encodings.n_changed,
        "hidden states": None if outputs is None else outputs.hidden_states,
    }


def lm_logits(
    checkpoint: str, lines: Sequence[str], pieces: Sequence[str]
) -> tuple[list[list[str]], list[np.ndarray]]:
    """Compute the logits of some lines.

    pieces (Sequence[str]): The pieces whose logits are returned.
    RETURNS (tuple[list[list[str]], list[ndarray]]): The pieces of each line, and the logits after each of them, of
        shape (pieces, len(pieces)).
    """
    tokenizer, model = (cls.from_pretrained(checkpoint) for cls in (BloomTokenizerFast, BloomForCausalLM))
    columns = tokenizer.convert_tokens_to_ids(pieces)
    found = []
    with torch.inference_mode():
        for line in lines:
            ids = torch.tensor([tokenizer.encode(line)])
            found.append(model(ids, use_cache=False).logits[0][:, columns].numpy())
    return [tokenizer.tokenize(line) for line in lines], found


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--text", type=Path, help="folder with LANGUAGE.txt files to train the tokenizer on")
    parser.add_argument(
        "--languages", nargs="+", default=["en", "hi"], help="languages, i.e. names of files in the folder"
    )
    parser.add_argument("--pieces", type=int, default=N_PIECES, help="pieces of the tokenizer")
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="geometry of bloom-560m or bloom-1b7, or small"
    )
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if too few parameters are removed or if pieces or logits change, else 0."""
    options = options_from_command_line()
    files = sorted(options.text.glob("*.txt")) if options.text is not None else []
    corpus = [file for file in files if file.stem in options.languages]
    if len(corpus) != len(options.languages):
        print(f"Skipped: expected a folder --text with a file NAME.txt for each of {options.languages}.")
        return 0
    lines = [line for file in corpus for line in read_lines(file)]
    geometry: Geometry = GEOMETRIES[options.geometry]
    tokenizer = in_fresh_process(train, files, min(options.pieces, geometry.vocab_size))
    print(
        f"{len(files)} files, {len(tokenizer):,} pieces, {len(lines):,} lines of {options.languages}",
        flush=True,
    )
    with TemporaryDirectory(dir=options.work) as directory:
        source, output = (str(Path(directory) / name) for name in ("whole", "trimmed"))
        write_checkpoint(Path(source), geometry, tokenizer)
        run = in_fresh_process(trim, source, output, lines, options)
        described = [describe_directory(Path(path).name, Path(path)) for path in (source, output)]
        checked = [
            lines[i] for i in np.random.default_rng(0).choice(len(lines), CHECKED_LINES, replace=False)
        ]
        kept = sorted(BloomTokenizerFast.from_pretrained(output).get_vocab())
        (pieces, old), (same, new) = (in_fresh_process(lm_logits, p, checked, kept) for p in (source, output))
    rows = [
        {
            "checkpoint": d.name,
            "pieces": f"{d.n_pieces:,}",
            "parameters": f"{d.parameters:,}",
            "MB on disk": sum(d.files.values()) / MEGA,
        }
        for d in described
    ]
    fewer = 1 - described[1].parameters / described[0].parameters
    gap = max(float(np.abs(a - b).max()) for a, b in zip(old, new, strict=True))
    largest = max(float(np.abs(a).max()) for a in old)
    notes = {
        f"parameters that went, of all (bound {FEWER})": fewer,
        "lines with other pieces": run["changed"],
        "bytes per piece, before and after": run["bytes per piece"],
        "largest difference of hidden states": run["hidden states"],
        f"largest difference of logits, {CHECKED_LINES} lines, each model by itself": gap,
        "largest logit": largest,
        "seconds, proof included": run["seconds"],
        "MB peak beyond the imports, mapped weights included": run["peak"] / MEGA,
    }
    report(f"{options.geometry}, corpus {options.languages}, {len(lines):,} lines", rows, notes, options.json)
    good = pieces == same and run["changed"] == 0 and gap <= TOLERANCE * largest
    return int(not (good and fewer >= FEWER))


if __name__ == "__main__":
    sys.exit(main())
