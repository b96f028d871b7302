"""Does pre-training help? F-score of entities by language for pipelines trained on the same data for the same number
of epochs: tiny-bloom, the same architecture with random weights, and spaCy's own CNN, each with its own batch size and
learning rate.

    python benchmarks/ner.py CORPUS WORK --json ner.json

CORPUS is a folder with entities written by `bloom convert-data`.
"""

from comparing import ROOT, Comparison, compare

NER = Comparison(
    task="ents",
    config=ROOT / "configs" / "token_classification.cfg",
    baseline="cnn",
    baseline_config=ROOT / "benchmarks" / "ner_cnn.cfg",
    scores=("f_score",),
)

if __name__ == "__main__":
    compare(NER, __doc__)
