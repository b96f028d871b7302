"""Put a trained pipeline into the package as its demo, without the vocabulary of its training data.

python scripts/bundle_demo.py training/model-last
"""

import argparse
import shutil
from pathlib import Path

import spacy

TARGET = Path(__file__).parent.parent / "spacy_bloom" / "assets" / "xx_bloom_tiny_demo"


def bundle(source: Path, target: Path = TARGET) -> None:
    """Write the pipeline in `source` to `target`, in place of what is there."""
    nlp = spacy.load(source)
    nlp.meta["name"] = "bloom_tiny_demo"
    nlp.meta["description"] = (
        "Persons, places and organisations in twelve languages and scripts, on tiny-bloom"
    )
    nlp.meta["license"] = "CC BY-SA 4.0"
    nlp.meta["sources"] = [{"name": "see HOW_MADE.md of tiny-bloom", "license": "CC BY-SA 4.0"}]
    # Paths of the machine that it was trained on mean nothing elsewhere.
    nlp.config["paths"] = {**nlp.config["paths"], "train": None, "dev": None, "checkpoint": "tiny-bloom"}
    shutil.rmtree(target, ignore_errors=True)
    nlp.to_disk(target, exclude=["vocab"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="trained pipeline")
    bundle(parser.parse_args().source)
