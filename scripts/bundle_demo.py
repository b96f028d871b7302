"""Add a trained pipeline to the package, without the vocabulary of its training data.

    python scripts/bundle_demo.py training/model-last xx_bloom_tiny_demo
    python scripts/bundle_demo.py topics/model-last xx_bloom_tiny_demo --only bloom_text_classifier

The second command takes one component, which must have been trained on the bundled transformer as it is.
"""

import argparse
import shutil
from itertools import pairwise
from pathlib import Path

import spacy
from spacy.language import Language

from spacy_bloom.checkpoint.sources import BUNDLED, BUNDLED_PIPELINES

DESCRIPTIONS = {
    "xx_bloom_tiny_demo": "Persons, places and organisations in twelve languages and scripts, and topics in thirty, "
    "on tiny-bloom",
    "xx_bloom_tiny_qa": "Answers to questions about a text, in six languages, on tiny-bloom",
}


def with_component(nlp: Language, name: str, other: Language) -> Language:
    """RETURNS (Language): A pipeline with another one's component instead of its own, at the same place, or at the end
    if it has none of that name.
    """
    following = dict(pairwise(nlp.component_names)).get(name)
    scores = other.get_pipe_meta(name).scores
    if name in nlp.component_names:
        nlp.remove_pipe(name)
    nlp.add_pipe(name, source=other, before=following)
    new = {score: value for score, value in other.meta.get("performance", {}).items() if score in scores}
    old = nlp.meta.get("performance", {})
    nlp.meta["performance"] = {score: value for score, value in old.items() if score not in scores} | new
    return nlp


def bundle(source: Path, name: str, assets: Path = BUNDLED, *, only: str | None = None) -> None:
    """Save the pipeline in `source` to the package. An existing pipeline of that name is replaced, or its component
    `only` is.
    """
    nlp = spacy.load(source)
    if (
        "transformer" in nlp.component_names
    ):  # the configs' name; people know the bundled pipelines by another one
        nlp.rename_pipe("transformer", "bloom_transformer")
    if only is not None:
        nlp = with_component(spacy.load(assets / name), only, nlp)
    nlp.meta["name"] = name.removeprefix(f"{nlp.lang}_")
    nlp.meta["description"] = DESCRIPTIONS[name]
    nlp.meta["license"] = "CC BY-SA 4.0"
    nlp.meta["sources"] = [{"name": "see HOW_MADE.md of tiny-bloom", "license": "CC BY-SA 4.0"}]
    # Paths on the machine it was trained on mean nothing elsewhere.
    nlp.config["paths"] = {**nlp.config["paths"], "train": None, "dev": None, "checkpoint": "tiny-bloom"}
    shutil.rmtree(assets / name, ignore_errors=True)
    nlp.to_disk(assets / name, exclude=["vocab"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the trained pipeline")
    parser.add_argument("name", choices=BUNDLED_PIPELINES, help="its name in the package")
    parser.add_argument("--only", metavar="COMPONENT", help="replace this component of the bundled pipeline")
    arguments = parser.parse_args()
    bundle(arguments.source, arguments.name, only=arguments.only)
