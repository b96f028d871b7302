"""What each component costs on one core: words per second of CPU time, and memory, beside each other on the same texts.

    python benchmarks/components.py
    python benchmarks/components.py --text FOLDER --docs 400 --systems bloom_zero_shot,bloom_text_generator

Each component runs in a process of its own, on BLOOM's --checkpoint or on spaCy's CNN, with --n-labels labels and no
training: what it finds means nothing, what it computes for a text is nearly that of a trained one.
"""

import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from measuring import MEGA, in_fresh_process, memory, new_parser, report
from spacy.language import Language
from spacy.training import Example
from texts import pseudo_lines, text_lines

from spacy_bloom.pipeline.answering.answers import Answer, set_answers

WARM_UP = 8
Make = Callable[[str, list[str]], Language]  # of a checkpoint and labels
CNN = {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 96, "depth": 4}
CNN |= {"embed_size": 2000, "window_size": 1, "maxout_pieces": 3, "subword_features": True}
LISTENER = {
    "@architectures": "spacy-bloom.TransformerListener.v1",
    "pooling": {"@layers": "reduce_mean.v1"},
    "grad_factor": 1.0,
}
QUESTION = "Where was it?"


def blank(checkpoint: str, labels: list[str]) -> Language:
    """RETURNS (Language): A pipeline with nothing in it."""
    return spacy.blank("xx")


def transformer_alone(checkpoint: str, labels: list[str]) -> Language:
    """RETURNS (Language): A transformer that nobody listens to."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint}})
    return nlp


def after(base: Make, factory: str, **config: Any) -> Make:
    """RETURNS (Callable): Makes a pipeline with another component, which has all labels."""

    def make(checkpoint: str, labels: list[str]) -> Language:
        nlp = base(checkpoint, labels)
        nlp.add_pipe(factory, config=config)
        return _initialized(nlp, labels)

    return make


def with_head(factory: str, **config: Any) -> Make:
    """RETURNS (Callable): Makes a pipeline with a component that has a language model of its own."""

    def make(checkpoint: str, labels: list[str]) -> Language:
        nlp = spacy.blank("xx")
        own = {"labels": labels} if factory == "bloom_zero_shot" else {}
        nlp.add_pipe(factory, config={"model": {"name": checkpoint}, **own, **config})
        return nlp

    return make


def answerer(checkpoint: str, labels: list[str]) -> Language:
    """RETURNS (Language): A component that answers one question about each text."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_question_answerer", config={"model": {"name": checkpoint}, "questions": [QUESTION]})
    return _initialized(nlp, labels)


SYSTEMS: dict[str, Make] = {
    "bloom_transformer alone": transformer_alone,
    "bloom_token_classifier": after(transformer_alone, "bloom_token_classifier"),
    "ner on bloom_transformer": after(transformer_alone, "ner", model={"tok2vec": LISTENER}),
    "spancat on bloom_transformer": after(transformer_alone, "spancat", model={"tok2vec": LISTENER}),
    "ner on spaCy's CNN": after(blank, "ner", model={"tok2vec": CNN}),
    "bloom_text_classifier": after(transformer_alone, "bloom_text_classifier"),
    "textcat, spaCy's ensemble": after(blank, "textcat"),
    "bloom_question_answerer": answerer,
    "bloom_surprisal": with_head("bloom_surprisal"),
    "bloom_zero_shot": with_head("bloom_zero_shot", prompt="{{ doc.text }}\nTopic:"),
    "bloom_text_generator, 16 pieces": with_head("bloom_text_generator", max_new_tokens=16),
}


def _initialized(nlp: Language, labels: list[str]) -> Language:
    """RETURNS (Language): The pipeline with its labels, on random last layers."""
    examples = []
    for label in labels:
        doc = nlp.make_doc("Ana sings in Lima .")
        gold: dict[str, Any] = {
            "entities": [(0, 3, label)],
            "cats": {one: float(one == label) for one in labels},
        }
        gold["spans"] = {"sc": [(0, 3, label), (0, 9, label)]}
        example = Example.from_dict(doc, gold)
        set_answers(example.reference, {QUESTION: [Answer(3, 4)]})
        examples.append(example)
    nlp.initialize(lambda: examples)
    return nlp


def measure(system: str, texts: list[str], options: Namespace) -> dict[str, Any]:
    """One component, to be run in a process of its own. RETURNS (dict[str, Any]): A row of the table."""
    torch.set_num_threads(1)
    before = memory()
    labels = [f"L{i}" for i in range(options.n_labels)]
    nlp = SYSTEMS[system](options.checkpoint, labels)
    words = sum(len(nlp.make_doc(text)) for text in texts)
    for _ in nlp.pipe(texts[:WARM_UP]):
        pass
    loaded = memory()
    start = time.process_time()
    for _ in nlp.pipe(texts, batch_size=options.batch_size):
        pass
    seconds = time.process_time() - start
    return {
        "component": system,
        "words/s of CPU": words / seconds,
        "ms a text": 1000 * seconds / len(texts),
        "MB loaded": (loaded - before) / MEGA,
        "MB peak": (memory("VmHWM") - before) / MEGA,
    }


def main() -> None:
    parser = new_parser(__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="tiny-bloom", help="BLOOM's checkpoint")
    parser.add_argument("--docs", type=int, default=200, help="texts")
    parser.add_argument(
        "--text", type=Path, help="folder of .txt files to draw lines from (None: words made up)"
    )
    parser.add_argument("--n-labels", type=int, default=7, help="labels of each component")
    parser.add_argument("--batch-size", type=int, default=64, help="Docs that nlp.pipe takes at once")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which to measure, with commas between")
    options = parser.parse_args()
    lines = text_lines(options.text, options.docs) if options.text else pseudo_lines(options.docs)
    texts = lines[: options.docs]
    wanted = [name for name in SYSTEMS if name in options.systems]
    rows = [in_fresh_process(measure, name, texts, options) for name in wanted]
    notes = {"texts": len(texts), "characters in the middle text": sorted(map(len, texts))[len(texts) // 2]}
    report("What components cost on one core", rows, notes, options.json)


if __name__ == "__main__":
    main()
