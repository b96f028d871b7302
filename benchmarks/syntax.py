"""Does pre-training help? Accuracy of parts of speech, UAS and LAS by language for pipelines trained on the same
treebanks for the same number of epochs: tiny-bloom, the same architecture with random weights, and spaCy's own CNN with
`morphologizer` and `parser`, each with its own batch size and learning rate. Words and sentences are gold.

    python benchmarks/syntax.py CORPUS WORK --json syntax.json

CORPUS is a folder with treebanks written by `bloom convert-data --no-morph`.
"""

from comparing import ROOT, Comparison, compare

SYNTAX = Comparison(
    task="syntax",
    config=ROOT / "configs" / "tags_and_syntax.cfg",
    baseline="cnn",
    baseline_config=ROOT / "benchmarks" / "syntax_cnn.cfg",
    scores=("pos_acc", "uas", "las"),
    options={"corpora.train.gold_preproc": True, "corpora.dev.gold_preproc": True},
)

if __name__ == "__main__":
    compare(SYNTAX, __doc__)
