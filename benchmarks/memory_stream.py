"""Memory while Docs are streamed through a transformer and a token classifier and all of them are kept."""

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
    memory,
    new_parser,
    report,
    write_checkpoint,
)
from spacy.language import Language
from spacy.training import Example
from texts import documents, new_tokenizer, pseudo_lines

from spacy_bloom import BloomTokenizerFast

DOCS, OURS, STOCK = "Docs alone", "our listener", "stock listener"
POOLING = {"@layers": "reduce_mean.v1"}
STOCK_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": POOLING,
}
TINY = Geometry(hidden_size=64, n_layer=2, n_head=4, vocab_size=4000)
FLAT = 0.05


def pipeline(listener: str, checkpoint: str) -> Language:
    """RETURNS (Language): A tokenizer and, unless only Docs are needed, a transformer and a classifier."""
    nlp = spacy.blank("xx")
    if listener == DOCS:
        return nlp
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    model = {"model": {"tok2vec": STOCK_LISTENER}} if listener == STOCK else {}
    nlp.add_pipe("bloom_token_classifier", config=model)
    annotated = [("kata lima", [(0, 4, "A")]), ("lima kata", [(0, 4, "B")])]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": entities}) for text, entities in annotated]
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    return nlp


def stream(
    listener: str, checkpoint: str, tokenizer_path: str, n_docs: int, options: Namespace
) -> dict[str, Any]:
    """Stream and keep Docs. Has to run in its own process.

    RETURNS (dict[str, Any]): The memory in bytes at the start and after every `--every` Docs, the seconds, and what
        is left on the Docs.
    """
    torch.set_num_threads(options.threads)
    nlp = pipeline(listener, checkpoint)
    nlp("kata lima")
    tokenizer = BloomTokenizerFast.from_directory(tokenizer_path)
    texts = documents(pseudo_lines(20_000), tokenizer, n_docs, median=options.median, sigma=0.7, longest=300)
    kept: list[spacy.tokens.Doc] = []
    samples = [memory()]
    start = time.perf_counter()
    for doc in nlp.pipe(texts, batch_size=options.batch_size):
        kept.append(doc)
        if len(kept) % options.every == 0:
            samples.append(memory())
    seconds = time.perf_counter() - start
    activations = sum(doc.has_extension("trf_data") and doc._.trf_data is not None for doc in kept)
    entities = sum(len(doc.ents) for doc in kept)
    return {"samples": samples, "seconds": seconds, "activations": activations, "entities": entities}


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--docs", type=int, default=20_000, help="Docs to stream and keep")
    parser.add_argument(
        "--stock-docs",
        type=int,
        default=2000,
        help="Docs for the comparison with spacy-transformers' listener",
    )
    parser.add_argument("--early", type=int, default=2000, help="Docs after which growth is measured")
    parser.add_argument("--every", type=int, default=1000, help="Docs between samples")
    parser.add_argument("--batch-size", type=int, default=128, help="batch size of nlp.pipe, in Docs")
    parser.add_argument("--median", type=int, default=40, help="median length of a Doc, in pieces")
    parser.add_argument(
        "--checkpoint", help="name or directory (default: random weights with a tiny geometry)"
    )
    options = parser.parse_args()
    if any(n % options.every for n in (options.docs, options.stock_docs, options.early)):
        parser.error("--docs, --stock-docs and --early must be multiples of --every")
    return options


def main() -> int:
    """RETURNS (int): 1 if memory is not flat, else 0."""
    options = options_from_command_line()
    with TemporaryDirectory(dir=options.work) as directory:
        write_checkpoint(Path(directory), TINY, new_tokenizer(pseudo_lines(20_000), TINY.vocab_size))
        checkpoint = options.checkpoint or directory
        runs = {}
        for listener, n_docs in ((DOCS, options.docs), (OURS, options.docs), (STOCK, options.stock_docs)):
            runs[listener] = in_fresh_process(stream, listener, checkpoint, directory, n_docs, options)
            print(f"{listener}: {n_docs} Docs in {runs[listener]['seconds']:.0f} s", flush=True)
    samples = {listener: run["samples"] for listener, run in runs.items()}
    early, last = options.early // options.every, options.docs // options.every
    extra = [ours - docs for ours, docs in zip(samples[OURS], samples[DOCS], strict=True)]
    growth = extra[last] - extra[early]
    relative = growth / samples[OURS][early]
    rows = [
        {
            "Docs": i * options.every,
            **{f"MB {name}": values[i] / MEGA if i < len(values) else "" for name, values in samples.items()},
            "MB ours less Docs": extra[i] / MEGA,
        }
        for i in range(last + 1)
    ]
    stock = (samples[STOCK][-1] - samples[STOCK][0]) - (
        samples[DOCS][len(samples[STOCK]) - 1] - samples[DOCS][0]
    )
    notes = {
        f"MB of growth beyond the Docs' own from {options.early} Docs to {options.docs}": growth / MEGA,
        f"as a part of all memory at {options.early} Docs (flat is at most {FLAT})": relative,
        "bytes per Doc of that growth": growth / (options.docs - options.early),
        f"MB of growth beyond the Docs' own over {options.stock_docs} Docs, {STOCK}": stock / MEGA,
        f"Docs left with activations, {OURS}": runs[OURS]["activations"],
        f"Docs left with activations, {STOCK}": runs[STOCK]["activations"],
        f"entities found, {OURS}": runs[OURS]["entities"],
    }
    report(f"Memory of a process that keeps {options.docs} Docs", rows, notes, options.json)
    return int(relative > FLAT)


if __name__ == "__main__":
    sys.exit(main())
