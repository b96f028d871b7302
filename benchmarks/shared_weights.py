"""Memory of a pipeline that generates and scores with the transformer's checkpoint, compared with the transformer."""

import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
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
from spacy.language import Language
from texts import new_tokenizer, pseudo_lines

from spacy_bloom.thinc_layers.transformer_model import bloom_shim

BOUND = 1.15  # of the transformer alone
ALONE, ALL = "transformer", "transformer, generator, zero-shot, surprisal"


def make_pipeline(system: str, checkpoint: str) -> Language:
    """RETURNS (Language): A pipeline with the transformer and, with ALL, three components on the same checkpoint."""
    nlp = spacy.blank("xx")
    model = {"name": checkpoint}
    nlp.add_pipe("bloom_transformer", config={"model": model})
    if system == ALL:
        prompt = {"prompt": "{{ doc.text }}", "max_new_tokens": 4}
        nlp.add_pipe("bloom_text_generator", config={**prompt, "model": model})
        nlp.add_pipe("bloom_zero_shot", config={"labels": ["kata", "lima"], "model": model})
        nlp.add_pipe("bloom_surprisal", config={"model": model})
    return nlp


def save(system: str, checkpoint: str, path: str) -> None:
    """Save a pipeline. Each component writes its own files."""
    make_pipeline(system, checkpoint).to_disk(path)


def run(
    system: str, checkpoint: str, saved: str | None, texts: list[str], options: Namespace
) -> dict[str, Any]:
    """Run one pipeline on the texts. Has to run in its own process.

    saved (str | None): Where to load the pipeline from, or None to create it.
    RETURNS (dict[str, Any]): Memory without imports in bytes, at the end and at the peak.
    """
    torch.set_num_threads(options.threads)
    make_pipeline(ALL, checkpoint)  # imports everything, but loads no weights
    imported = memory()
    reset_peak()
    nlp = make_pipeline(system, checkpoint) if saved is None else spacy.load(saved)
    # Weights are mapped, and texts only use a few rows of the embedding. All weights are read here, so that the
    # transformer does not appear smaller than it is.
    for parameter in bloom_shim(nlp.get_pipe("bloom_transformer").model).module.parameters():
        parameter.sum()
    for _ in nlp.pipe(texts):
        pass
    return {"memory": memory() - imported, "peak": memory("VmHWM") - imported}


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="geometry of bloom-560m or bloom-1b7, or small"
    )
    parser.add_argument("--docs", type=int, default=64, help="Docs of about a dozen words")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if the memory of all components exceeds the bound, else 0."""
    options = options_from_command_line()
    geometry: Geometry = GEOMETRIES[options.geometry]
    rows = []
    with TemporaryDirectory(dir=options.work) as directory:
        checkpoint = str(Path(directory) / "checkpoint")
        lines = pseudo_lines(2000)
        write_checkpoint(Path(checkpoint), geometry, new_tokenizer(lines, 2000))
        for way in ("made", "loaded"):
            for system in (ALONE, ALL):
                saved = None
                if way == "loaded":
                    saved = str(Path(directory) / "pipeline")
                    in_fresh_process(save, system, checkpoint, saved)
                found = in_fresh_process(run, system, checkpoint, saved, lines[: options.docs], options)
                sizes = {f"MB {name}": value / MEGA for name, value in found.items()}
                rows.append({"pipeline": f"{system} ({way})", **sizes})
    ratios = {way: rows[i + 1]["MB peak"] / rows[i]["MB peak"] for i, way in ((0, "made"), (2, "loaded"))}
    notes = {f"peak, of the transformer alone, {way} (bound {BOUND})": r for way, r in ratios.items()}
    title = f"{options.geometry}, {geometry.n_bytes / MEGA:,.0f} MB of weights, {options.docs} Docs"
    report(title, rows, notes, options.json)
    return int(not max(ratios.values()) <= BOUND)


if __name__ == "__main__":
    sys.exit(main())
