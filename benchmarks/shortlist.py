"""How many pieces does a shortlist leave, after each piece of real texts? And are the best ones the exact head's?

    python benchmarks/shortlist.py TEXTS --checkpoint tiny-bloom

TEXTS is a folder of LANG.txt files.
"""

import sys
from pathlib import Path

import torch
from measuring import new_parser, report
from torch import Tensor

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.quantization.kernels import activation_range
from spacy_bloom.quantization.shortlist import MOST_PIECES, MOST_ROWS, Shortlist, may_be_best


@torch.inference_mode()
def measure(model: BloomForCausalLM, states: Tensor) -> tuple[list[int], int]:
    """RETURNS (tuple[list[int], int]): Pieces left after each state, and how often the best piece is another one
    than the exact head's.
    """
    shortlist, left, different = Shortlist(model), [], 0
    for rows in states.split(MOST_ROWS):
        left += may_be_best(*shortlist.copy.estimate(rows)).sum(dim=1).tolist()
        best = shortlist.best(rows, lambda scores: scores)
        different += int((best != model.lm_head.logits(rows).argmax(dim=1)).sum())
    return left, different


def main() -> int:
    """RETURNS (int): 1 if a best piece is another than the exact head's, else 0."""
    parser = new_parser(__doc__)
    parser.add_argument("texts", type=Path, help="folder with LANG.txt files")
    parser.add_argument("--checkpoint", default="tiny-bloom", help="name or directory")
    parser.add_argument("--pieces", type=int, default=512, help="pieces of each file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = BloomForCausalLM.from_pretrained(options.checkpoint)
    tokenizer = BloomTokenizerFast.from_pretrained(options.checkpoint)
    vocabulary, everything, rows, wrong = model.config.vocab_size, [], [], 0
    for file in sorted(options.texts.glob("*.txt")):
        ids = torch.tensor(tokenizer(file.read_text(encoding="utf8"))["input_ids"][: options.pieces])
        with torch.inference_mode():
            states = model.transformer.encode_packed(ids, [len(ids)])
        left, different = measure(model, states)
        everything += left
        wrong += different
        rows.append({"texts": file.stem, "mean": sum(left) / len(left), "most": max(left)})
    rows.sort(key=lambda row: row["mean"])
    notes = {
        "all files, mean": sum(everything) / len(everything),
        "states after which all scores are computed": sum(n > MOST_PIECES * vocabulary for n in everything),
        "states": len(everything),
        "best pieces that are not the exact head's": wrong,
    }
    bits = activation_range().limit.bit_length() + 1
    title = (
        f"Pieces left of {vocabulary}, {options.checkpoint}, activations of {bits} bits, "
        f"{options.pieces} pieces of each file"
    )
    report(title, rows, notes, options.json)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
