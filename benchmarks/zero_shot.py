"""Labels by their likelihood, with the zero-shot component in nlp.pipe, in float32 and int8, and with one forward pass
per label and Doc.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
import torch
from measuring import Geometry, in_fresh_process, median, new_parser, report, write_checkpoint
from texts import documents, new_tokenizer, pseudo_lines
from transformers import BloomForCausalLM as HfForCausalLM

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast

OURS, QUANTIZED = "nlp.pipe", "nlp.pipe, int8"
PLAIN, THEIRS = "spacy_bloom, pass by pass", "Hugging Face, pass by pass"
PROMPT = "{{ doc.text }}\nTopic:"
BOUND = 5.0  # speedup over our own forward passes
TOLERANCE = 1e-4
WARM_UP = 1  # Docs

Scores = list[list[float]]  # per Doc, per label


def pipeline(
    checkpoint: str, labels: list[str], options: Namespace, quantization: str | None
) -> Callable[[Sequence[str]], Scores]:
    """RETURNS (Callable): A function that scores texts with the component."""
    nlp = spacy.blank("xx")
    config = {
        "model": {"name": checkpoint, "quantization": quantization},
        "labels": labels,
        "prompt": PROMPT,
        "max_batch_items": options.max_batch_items,
    }
    nlp.add_pipe("bloom_zero_shot", config=config)

    def score(texts: Sequence[str]) -> Scores:
        docs = nlp.pipe(texts, batch_size=options.batch_size)
        return [[doc.cats[label] for label in labels] for doc in docs]

    return score


def pass_by_pass(model_class: Any, checkpoint: str, labels: list[str]) -> Callable[[Sequence[str]], Scores]:
    """RETURNS (Callable): A function that scores texts with one forward pass per prompt and label."""
    model = model_class.from_pretrained(checkpoint).eval()
    tokenizer = BloomTokenizerFast.from_pretrained(checkpoint)
    answers = [tokenizer(" " + label)["input_ids"] for label in labels]

    @torch.inference_mode()
    def likelihood(prompt: list[int], answer: list[int]) -> float:
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        pieces = logits.float().log_softmax(dim=-1).gather(1, torch.tensor(answer)[:, None])
        return float(pieces.sum())

    def score(texts: Sequence[str]) -> Scores:
        prompts = [tokenizer(PROMPT.replace("{{ doc.text }}", text))["input_ids"] for text in texts]
        rows = [[likelihood(prompt, answer) for answer in answers] for prompt in prompts]
        return [torch.tensor(row, dtype=torch.float64).softmax(dim=0).tolist() for row in rows]

    return score


def measure(
    system: str, checkpoint: str, texts: list[str], labels: list[str], options: Namespace
) -> dict[str, Any]:
    """Measure one round of one system. Has to run in its own process.

    RETURNS (dict[str, Any]): Seconds, and the scores.
    """
    torch.set_num_threads(options.threads)
    if system in (OURS, QUANTIZED):
        score = pipeline(checkpoint, labels, options, "int8" if system == QUANTIZED else None)
    else:
        score = pass_by_pass(BloomForCausalLM if system == PLAIN else HfForCausalLM, checkpoint, labels)
    score(texts[:WARM_UP])
    start = time.perf_counter()
    scores = score(texts)
    return {"seconds": time.perf_counter() - start, "scores": scores}


def make_inputs(directory: Path, options: Namespace) -> tuple[list[str], list[str], int]:
    """Write the checkpoint. RETURNS (tuple[list[str], list[str], int]): The texts, labels, and number of pieces."""
    lines = pseudo_lines(20_000)
    tokenizer = new_tokenizer(lines, options.vocab_size)
    geometry = Geometry(options.hidden_size, options.n_layer, options.n_head, len(tokenizer))
    write_checkpoint(directory, geometry, tokenizer)
    lengths = {"median": options.median, "sigma": options.sigma, "longest": 4 * options.median}
    texts = list(documents(lines, tokenizer, options.docs, **lengths))
    words = list(dict.fromkeys(word for line in lines for word in line.rstrip(".").split()))
    # Labels of one word and of two.
    labels = [" ".join(words[3 * i : 3 * i + 1 + i % 2]) for i in range(options.labels)]
    return texts, labels, sum(len(e.ids) for e in tokenizer.encode_batch(texts))


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--docs", type=int, default=24, help="Docs per round")
    parser.add_argument("--labels", type=int, default=20, help="number of labels")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per system")
    parser.add_argument("--batch-size", type=int, default=128, help="batch size of nlp.pipe, in Docs")
    parser.add_argument(
        "--max-batch-items", type=int, help="budget of the component, in pieces (default: by memory)"
    )
    parser.add_argument("--median", type=int, default=100, help="median length of a Doc, in pieces")
    parser.add_argument("--sigma", type=float, default=0.3, help="spread of the lengths' logarithms")
    parser.add_argument("--hidden-size", type=int, default=512, help="geometry")
    parser.add_argument("--n-layer", type=int, default=8, help="geometry")
    parser.add_argument("--n-head", type=int, default=8, help="geometry")
    parser.add_argument("--vocab-size", type=int, default=8000, help="geometry")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if the scores of the systems differ or the bound is missed, else 0."""
    options = options_from_command_line()
    turns: dict[str, list[dict[str, Any]]] = {system: [] for system in (OURS, QUANTIZED, PLAIN, THEIRS)}
    with TemporaryDirectory(dir=options.work) as directory:
        texts, labels, n_pieces = make_inputs(Path(directory), options)
        for number in range(options.rounds):
            for system in turns:
                turns[system].append(in_fresh_process(measure, system, directory, texts, labels, options))
                print(f"round {number + 1}, {system}: {turns[system][-1]['seconds']:.1f} s", flush=True)
    seconds = {system: [turn["seconds"] for turn in own] for system, own in turns.items()}
    rows = [
        {"system": system, "seconds": median(own), "Docs/s": len(texts) / median(own)}
        for system, own in seconds.items()
    ]
    ratios = {
        system: [b / a for a, b in zip(seconds[OURS], seconds[system], strict=True)]
        for system in (QUANTIZED, PLAIN, THEIRS)
    }
    difference = max(largest_gap(turns[OURS][0], turns[system][0]) for system in (PLAIN, THEIRS))
    notes = {
        f"times as fast as {PLAIN}, median of the rounds (bound {BOUND})": median(ratios[PLAIN]),
        "lowest and highest of a round": f"{min(ratios[PLAIN]):.3g}, {max(ratios[PLAIN]):.3g}",
        f"times as fast as {THEIRS}, median of the rounds": median(ratios[THEIRS]),
        "lowest and highest of a round ": f"{min(ratios[THEIRS]):.3g}, {max(ratios[THEIRS]):.3g}",
        f"largest difference of a score (bound {TOLERANCE:.0e})": difference,
        "int8, times float32, median of the rounds": 1 / median(ratios[QUANTIZED]),
        "largest difference of a score, int8": largest_gap(turns[OURS][0], turns[QUANTIZED][0]),
    }
    title = (
        f"{len(texts)} Docs, {n_pieces} pieces, {len(labels)} labels; hidden {options.hidden_size} x "
        f"{options.n_layer} layers, {options.threads} threads, medians of {options.rounds} rounds"
    )
    report(title, rows, notes, options.json)
    return int(not difference <= TOLERANCE or not median(ratios[PLAIN]) >= BOUND)


def largest_gap(one: dict[str, Any], other: dict[str, Any]) -> float:
    """RETURNS (float): The largest difference between the scores of two rounds."""
    pairs = zip(one["scores"], other["scores"], strict=True)
    return max(abs(a - b) for rows in pairs for a, b in zip(*rows, strict=True))


if __name__ == "__main__":
    sys.exit(main())
