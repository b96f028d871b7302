"""Does pre-training help? Accuracy and macro F-score by language for text classifiers trained on the same data for the
same number of epochs: tiny-bloom, the same architecture with random weights, and spaCy's own ensemble of a bag of words
and a CNN, each with its own batch size and learning rate.

    python benchmarks/textcat.py CORPUS WORK --json textcat.json

CORPUS is a folder with categories written by `bloom convert-data`.
"""

from comparing import ROOT, Comparison, compare

TEXTCAT = Comparison(
    task="cats",
    config=ROOT / "configs" / "text_classification.cfg",
    baseline="ensemble",
    baseline_config=ROOT / "benchmarks" / "textcat_ensemble.cfg",
    scores=("accuracy", "f_score"),
)

if __name__ == "__main__":
    compare(TEXTCAT, __doc__)
