"""How much faster are later epochs if a frozen transformer only computes each training text once? The same head is
trained on the same batches with and without reuse, each time in a new process.

    python benchmarks/frozen_reuse.py CORPUS

CORPUS is a folder of entities written by `bloom convert-data`. The exit code is 1 if losses or the
weights of the head differ, or if later epochs are less than 5 times as fast.
"""

import sys
import time
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import spacy
import torch
from measuring import MEGA, Geometry, in_fresh_process, median, memory, new_parser, report, write_checkpoint
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch
from thinc.api import Adam

from spacy_bloom import BloomTokenizerFast

BOUND = 5.0
SYSTEMS: dict[str, dict[str, Any] | None] = {"without": None, "in memory": {}, "on disk": {"disk": True}}
RANDOM = Geometry(hidden_size=512, n_layer=8, n_head=8, vocab_size=16384)


def run(system: str, checkpoint: str, options: Namespace) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Seconds and losses of each epoch, memory without imports, weights of the head."""
    torch.set_num_threads(options.threads)
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    imported = memory()
    model = {"name": checkpoint, "train_transformer": False, "reuse": SYSTEMS[system]}
    nlp.add_pipe("bloom_transformer", config={"model": model})
    nlp.add_pipe("bloom_token_classifier")
    docs = list(DocBin().from_disk(options.corpus / "train.spacy").get_docs(nlp.vocab))
    docs = docs[:: max(len(docs) // options.docs, 1)][: options.docs]
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    batches = list(minibatch(examples, options.batch_size))
    optimizer, order = Adam(0.001), np.random.default_rng(0)
    seconds, losses = [], []
    for _ in range(options.epochs):
        start, epoch = time.perf_counter(), {}
        for number in order.permutation(len(batches)):
            nlp.update(batches[number], sgd=optimizer, drop=0.1, losses=epoch)
        seconds.append(time.perf_counter() - start)
        losses.append(epoch["bloom_token_classifier"])
    head = nlp.get_pipe("bloom_token_classifier").model.get_ref("output_layer")
    weights = np.concatenate([head.get_param("W").ravel(), head.get_param("b")])
    peak = memory("VmHWM") - imported
    return {"seconds": seconds, "losses": losses, "weights": weights, "peak": peak, "docs": len(docs)}


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("corpus", type=Path, help="folder with train.spacy")
    parser.add_argument(
        "--checkpoint", help="checkpoint (default: random weights, hidden size 512 and 8 layers)"
    )
    parser.add_argument("--docs", type=int, default=1000, help="number of Docs, spread over the corpus")
    parser.add_argument("--epochs", type=int, default=4, help="epochs")
    parser.add_argument("--batch-size", type=int, default=32, help="Docs per batch")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if results differ or a bound is exceeded, else 0."""
    options = options_from_command_line()
    with TemporaryDirectory(dir=options.work) as directory:
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = str(Path(directory) / "checkpoint")
            write_checkpoint(Path(checkpoint), RANDOM, BloomTokenizerFast.from_pretrained("tiny-bloom"))
        found = {name: in_fresh_process(run, name, checkpoint, options) for name in SYSTEMS}
    plain, rows = found["without"], []
    for name, result in found.items():
        later = median(result["seconds"][1:])
        rows.append(
            {
                "reuse": name,
                "s, epoch 1": result["seconds"][0],
                "s, epochs after": later,
                "times as fast": median(plain["seconds"][1:]) / later,
                "MB peak": result["peak"] / MEGA,
                "last loss": f"{result['losses'][-1]:.6f}",
            }
        )
    equal = all(
        result["losses"] == plain["losses"] and np.array_equal(result["weights"], plain["weights"])
        for result in found.values()
    )
    title = f"{plain['docs']} Docs, {options.epochs} epochs, {options.checkpoint or 'hidden 512 x 8 layers'}"
    report(title, rows, {"losses and head equal bit for bit": str(equal)}, options.json)
    return int(not equal or min(row["times as fast"] for row in rows[1:]) < BOUND)


if __name__ == "__main__":
    sys.exit(main())
