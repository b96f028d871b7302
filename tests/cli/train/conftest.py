"""A training that one rank, two ranks, and ranks that fail have run in a script."""

import random
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

CONFIG = """
[paths]
train = null
dev = null
checkpoint = null

[nlp]
lang = "xx"
pipeline = ["bloom_transformer", "ner", "textcat", "bloom_token_classifier"]

[components]
[components.bloom_transformer]
factory = "bloom_transformer"
[components.bloom_transformer.model]
@architectures = "spacy-bloom.TransformerModel.v2"
name = ${paths.checkpoint}

[components.ner]
factory = "ner"
[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 16
maxout_pieces = 2
use_upper = false
nO = null
[components.ner.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
pooling = {"@layers": "reduce_mean.v1"}
grad_factor = 1.0

[components.textcat]
factory = "textcat"
[components.textcat.model]
@architectures = "spacy.TextCatReduce.v1"
exclusive_classes = true
use_reduce_mean = true
use_reduce_first = false
use_reduce_last = false
use_reduce_max = false
[components.textcat.model.tok2vec]
@architectures = "spacy-bloom.TransformerListener.v1"
pooling = {"@layers": "reduce_mean.v1"}
grad_factor = 1.0

[components.bloom_token_classifier]
factory = "bloom_token_classifier"
target = "tag"

[corpora]
[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${paths.train}
[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${paths.dev}

[training]
seed = 3
gpu_allocator = null
dropout = 0.1
accumulate_gradient = 2
max_steps = 7
eval_frequency = 2
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 5
[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = 0.002
[training.before_update]
@callbacks = "fault.v1"
kind = ""
[training.logger]
@loggers = "spacy.ConsoleLogger.v3"
progress_bar = null
console_output = true
output_file = null
"""


def write_docs(path, n, seed):
    """Short Docs; every fourth has no category, and the last batch of an epoch is a single Doc."""
    rng, nlp, docs = random.Random(seed), spacy.blank("xx"), DocBin()
    towns, names = ["Paris", "Lagos", "Lima", "Hanoi"], ["Ana", "Omar", "Mei"]
    for number in range(n):
        turns = rng.randrange(1, 7)
        words = [rng.choice(names), "went", "to", rng.choice(towns), *["and", "back"] * turns]
        doc = Doc(nlp.vocab, words=words, tags=["N" if word in towns + names else "O" for word in words])
        doc.ents = [Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")]
        if number % 4:
            doc.cats = {"short": float(turns < 4), "long": float(turns >= 4)}
        docs.add(doc)
    docs.to_disk(path)


@pytest.fixture(scope="session")
def report(tmp_path_factory, run_ranks, checkpoint):
    """What the script has found, and where its pipelines are."""
    folder = tmp_path_factory.mktemp("shared")
    write_docs(folder / "train.spacy", 21, 0)
    write_docs(folder / "dev.spacy", 6, 1)
    text = CONFIG.replace("train = null", f'train = "{folder / "train.spacy"}"', 1)
    text = text.replace("dev = null", f'dev = "{folder / "dev.spacy"}"', 1)
    text = text.replace("checkpoint = null", f'checkpoint = "{checkpoint}"', 1)
    (folder / "config.cfg").write_text(text, encoding="utf8")
    found, errors = run_ranks(Path(__file__).parent / "shared_report.py", folder / "config.cfg", folder)
    return {**found, "folder": folder, "errors": errors}
