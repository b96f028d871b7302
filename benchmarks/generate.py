"""Text generation for many Docs, all in one stream and one by one. The texts have to be the same."""

import sys
import time
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
    median,
    memory,
    new_parser,
    report,
    reset_peak,
    write_checkpoint,
)
from spacy.language import Language
from texts import add_text_options, make_texts, new_tokenizer, pseudo_lines

BATCHED, ALONE = "nlp.pipe", "one by one"
BOUND = 3.0  # times as fast
WARM_UP = 8  # Docs
PROMPT = "Summarize the text in one sentence, in the language of the text.\nText: {{ doc.text }}\nSummary:"


def generator_pipeline(checkpoint: str, options: Namespace) -> Language:
    """RETURNS (Language): A pipeline with a tokenizer and a generator."""
    nlp = spacy.blank("xx")
    config = {
        "model": {"name": checkpoint},
        "prompt": PROMPT,
        "max_new_tokens": options.new,
        "max_batch_items": options.max_batch_items,
        "generation": {"do_sample": options.sample},
    }
    nlp.add_pipe("bloom_text_generator", config=config)
    return nlp


def measure(way: str, checkpoint: str, texts: list[str], options: Namespace) -> dict[str, Any]:
    """Measure one round. Has to run in its own process.

    RETURNS (dict[str, Any]): Seconds, bytes of memory before and at the peak, and the texts.
    """
    torch.set_num_threads(options.threads)
    nlp = generator_pipeline(checkpoint, options)
    list(nlp.pipe(texts[:WARM_UP]))
    loaded = memory()
    reset_peak()
    start = time.perf_counter()
    docs = list(nlp.pipe(texts, batch_size=options.batch_size)) if way == BATCHED else list(map(nlp, texts))
    seconds = time.perf_counter() - start
    written = [doc._.generated for doc in docs]
    return {"seconds": seconds, "loaded": loaded, "peak": memory("VmHWM"), "texts": written}


def make_inputs(directory: Path, options: Namespace) -> tuple[list[str], int]:
    """Write the checkpoint. RETURNS (tuple[list[str], int]): The texts and their total number of pieces."""
    lines = pseudo_lines(max(20_000, options.docs * 10))
    tokenizer = new_tokenizer(lines, options.vocab_size)
    geometry = Geometry(options.hidden_size, options.n_layer, options.n_head, len(tokenizer))
    write_checkpoint(directory, geometry, tokenizer)
    return make_texts(lines, tokenizer, options)


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--docs", type=int, default=500, help="Docs per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds")
    parser.add_argument("--new", type=int, default=30, help="maximum number of pieces to generate per Doc")
    parser.add_argument(
        "--sample", action="store_true", help="sample pieces instead of choosing the best ones"
    )
    parser.add_argument("--batch-size", type=int, default=500, help="batch size of nlp.pipe, in Docs")
    parser.add_argument(
        "--max-batch-items", type=int, help="budget of the component, in pieces (default: by memory)"
    )
    add_text_options(parser, hidden_size=256, n_layer=4, n_head=4)
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if the texts differ or the bound is missed, else 0."""
    options = options_from_command_line()
    turns: dict[str, list[dict[str, Any]]] = {BATCHED: [], ALONE: []}
    with TemporaryDirectory(dir=options.work) as directory:
        texts, n_pieces = make_inputs(Path(directory), options)
        for number in range(options.rounds):
            for way in turns:
                turns[way].append(in_fresh_process(measure, way, directory, texts, options))
                print(f"round {number + 1}, {way}: {turns[way][-1]['seconds']:.1f} s", flush=True)
    rows = [row_of(way, turns[way], options) for way in turns]
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(turns[BATCHED], turns[ALONE], strict=True)]
    pairs = zip(turns[BATCHED][0]["texts"], turns[ALONE][0]["texts"], strict=True)
    different = sum(one != other for one, other in pairs)
    notes = {
        f"times as fast as {ALONE}, median of the rounds (bound {BOUND})": median(ratios),
        "lowest of a round": min(ratios),
        "highest of a round": max(ratios),
        "texts that differ (bound 0)": different,
    }
    title = (
        f"{len(texts)} Docs, {n_pieces} pieces, {options.new} new ones each; hidden {options.hidden_size} x "
        f"{options.n_layer} layers, {options.threads} threads, medians of {options.rounds} rounds"
    )
    report(title, rows, notes, options.json)
    return int(different > 0 or not median(ratios) >= BOUND)


def row_of(way: str, turns: list[dict[str, Any]], options: Namespace) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The row of the table."""
    seconds = median([turn["seconds"] for turn in turns])
    loaded, peak = (median([turn[key] for turn in turns]) / MEGA for key in ("loaded", "peak"))
    return {
        "way": way,
        "seconds": seconds,
        "Docs/s": options.docs / seconds,
        "new pieces/s, at most": options.docs * options.new / seconds,
        "MB loaded": loaded,
        "MB of generation": peak - loaded,
    }


if __name__ == "__main__":
    sys.exit(main())
