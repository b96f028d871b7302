"""Speed of computing the surprisal of tokens, with the component in nlp.pipe, in float32 and int8, and with Hugging
Face's full logits.
"""

import math
import sys
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
import torch
import transformers
from encode import TOLERANCE
from measuring import (
    INT8,
    MEGA,
    OURS,
    Geometry,
    in_fresh_process,
    median,
    memory,
    new_parser,
    report,
    reset_peak,
    write_checkpoint,
)
from texts import add_text_options, make_texts, new_tokenizer, pseudo_lines

from spacy_bloom import BloomTokenizerFast

ONE_BY_ONE, PADDED = "transformers, Doc by Doc", "transformers, padded batches"
BY_PREFIX = "transformers, prefix by prefix"
SYSTEMS = (OURS, INT8, ONE_BY_ONE, PADDED, BY_PREFIX)
WARM_UP = 16  # Docs
BOUND = 5.0  # speedup over prefix by prefix


def hugging_face(model: Any, tokenizer: BloomTokenizerFast, texts: list[str], batch_size: int) -> list[float]:
    """Compute the logits of all pieces of a batch, in the order of the texts and padded on the right.

    RETURNS (list[float]): The total bits of each text's pieces.
    """
    totals = []
    for start in range(0, len(texts), batch_size):
        rows = [[2, *ids] for ids in tokenizer(texts[start : start + batch_size])["input_ids"]]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [3] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        with torch.inference_mode():
            logits = model(ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            nll = -torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        totals += ((nll * mask[:, 1:]).sum(dim=1) / math.log(2)).tolist()
    return totals


def by_prefix(model: Any, tokenizer: BloomTokenizerFast, texts: list[str]) -> list[float]:
    """Run one forward pass per piece. RETURNS (list[float]): The total bits of each text's pieces."""
    totals = []
    for text in texts:
        ids, total = [2, *tokenizer(text)["input_ids"]], 0.0
        for end in range(1, len(ids)):
            with torch.inference_mode():
                logits = model(torch.tensor([ids[:end]]), use_cache=False).logits[0, -1]
            total -= torch.log_softmax(logits, dim=-1)[ids[end]].item() / math.log(2)
        totals.append(total)
    return totals


def measure(system: str, checkpoint: str, texts: list[str], options: Namespace) -> dict[str, Any]:
    """Measure one round of one system. Has to run in its own process.

    RETURNS (dict[str, Any]): Seconds, memory in bytes before and at the peak, and the bits of each text.
    """
    torch.set_num_threads(options.threads)
    if system in (OURS, INT8):
        nlp = spacy.blank("xx")
        model = {"name": checkpoint, "quantization": "int8" if system == INT8 else None}
        nlp.add_pipe("bloom_surprisal", config={"model": model})

        def run(part: list[str]) -> list[float]:
            return [sum(t._.surprisal for t in doc) for doc in nlp.pipe(part, batch_size=options.batch_size)]
    else:
        transformers.logging.disable_progress_bar()
        model = transformers.BloomForCausalLM.from_pretrained(checkpoint).eval()
        tokenizer = BloomTokenizerFast.from_directory(checkpoint)
        rows = 1 if system == ONE_BY_ONE else options.padded

        def run(part: list[str]) -> list[float]:
            if system == BY_PREFIX:
                return by_prefix(model, tokenizer, part)
            return hugging_face(model, tokenizer, part, rows)

    run(texts[: WARM_UP if system != BY_PREFIX else 1])
    loaded = memory()
    reset_peak()
    start = time.perf_counter()
    bits = run(texts)
    return {
        "seconds": time.perf_counter() - start,
        "loaded": loaded,
        "peak": memory("VmHWM"),
        "bits": bits,
    }


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--docs", type=int, default=300, help="Docs per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    parser.add_argument("--batch-size", type=int, default=128, help="batch size of nlp.pipe, in Docs")
    parser.add_argument("--padded", type=int, default=16, help="rows in Hugging Face's padded batches")
    parser.add_argument("--prefix-docs", type=int, default=10, help="Docs per round for prefix by prefix")
    add_text_options(parser, hidden_size=512, n_layer=8, n_head=8)
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if the results differ or ours is slower than its bound, else 0."""
    options = options_from_command_line()
    turns: dict[str, list[dict[str, Any]]] = {system: [] for system in SYSTEMS}
    with TemporaryDirectory(dir=options.work) as directory:
        lines = pseudo_lines(max(20_000, options.docs * 10))
        # Made-up words do not use more pieces. The remaining rows of the embedding cost the same.
        tokenizer = new_tokenizer(lines, min(options.vocab_size, 8000))
        geometry = Geometry(options.hidden_size, options.n_layer, options.n_head, options.vocab_size)
        write_checkpoint(Path(directory), geometry, tokenizer)
        texts, _ = make_texts(lines, tokenizer, options)
        sample = texts[:: math.ceil(options.docs / options.prefix_docs)]
        given = {system: sample if system == BY_PREFIX else texts for system in SYSTEMS}
        n_pieces = {s: sum(len(e.ids) for e in tokenizer.encode_batch(part)) for s, part in given.items()}
        for number in range(options.rounds):
            for system in SYSTEMS:
                turn = in_fresh_process(measure, system, directory, given[system], options)
                turns[system].append({**turn, "pieces/s": n_pieces[system] / turn["seconds"]})
                print(f"round {number + 1}, {system}: {turn['seconds']:.1f} s", flush=True)
    ratios = {
        system: [a["pieces/s"] / b["pieces/s"] for a, b in zip(turns[OURS], turns[system], strict=True)]
        for system in SYSTEMS[1:]
    }
    ours = dict(zip(texts, turns[OURS][0]["bits"], strict=True))

    def difference_to(system: str) -> float:
        pairs = zip(given[system], turns[system][0]["bits"], strict=True)
        return max(abs(ours[text] / bits - 1) for text, bits in pairs)

    difference = max(map(difference_to, (ONE_BY_ONE, PADDED, BY_PREFIX)))
    notes: dict[str, Any] = {
        "int8, times float32, median of the rounds": 1 / median(ratios.pop(INT8)),
        "largest relative difference of a Doc's bits, int8": difference_to(INT8),
    }
    for system, found in ratios.items():
        notes[f"times as fast as {system}, median of the rounds"] = median(found)
        notes[f"times as fast as {system}, lowest and highest"] = f"{min(found):.2f}, {max(found):.2f}"
    notes[f"largest relative difference of a Doc's bits (bound {TOLERANCE:.0e})"] = difference
    title = (
        f"{len(texts)} Docs, {n_pieces[OURS]} pieces; hidden {options.hidden_size} x {options.n_layer} layers, "
        f"{options.vocab_size} rows, {options.threads} threads, medians of {options.rounds} rounds"
    )
    report(title, [row_of(system, turns[system]) for system in SYSTEMS], notes, options.json)
    return int(not (difference <= TOLERANCE and median(ratios[BY_PREFIX]) >= BOUND))


def row_of(system: str, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The system's row of the table."""
    loaded, peak = (median([turn[key] for turn in turns]) / MEGA for key in ("loaded", "peak"))
    return {
        "system": system,
        "pieces/s": median([turn["pieces/s"] for turn in turns]),
        "MB after warm-up": loaded,
        "MB peak": peak,
    }


if __name__ == "__main__":
    sys.exit(main())
