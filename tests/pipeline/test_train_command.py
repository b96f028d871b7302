"""`spacy train` on the shipped config, as users run it: in a process of its own, on a corpus on disk."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin, Span

from spacy_bloom import BloomModel

CONFIG = Path(__file__).parents[2] / "configs" / "token_classification.cfg"
NAMES = {"Ana": "PER", "Wei": "PER", "Lima": "LOC", "Cairo": "LOC"}
TEXTS = [
    "Ana lives in Lima .",
    "Wei visits Cairo",
    "今天 Wei 在 Lima",
    "nobody here",
    "",
    "  \n ",
    " Ana ",
    "Cairo Lima " * 40,
]


@pytest.fixture
def corpus(tmp_path):
    """Two .spacy files with Docs without tokens and of whitespace among the others, and one without
    annotation.
    """
    nlp = spacy.util.load_model_from_config(
        {"nlp": spacy.util.load_config(CONFIG)["nlp"] | {"pipeline": []}}, auto_fill=True
    )
    docs = []
    for text in TEXTS * 4:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, t.i, t.i + 1, NAMES[t.text]) for t in doc if t.text in NAMES])
        docs.append(doc)
    docs.append(nlp.make_doc("no annotation at all"))
    for name in ("train", "dev"):
        DocBin(docs=docs).to_disk(tmp_path / f"{name}.spacy")
    return tmp_path


@pytest.fixture
def train(corpus, checkpoint, python_spacy):
    """A function that trains with some options changed. RETURNS: the output directory."""

    def run(**options):
        paths = {
            "output": corpus / "training",
            "paths.train": corpus / "train.spacy",
            "paths.dev": corpus / "dev.spacy",
            "paths.checkpoint": checkpoint,
            "training.max_epochs": 0,
            "training.optimizer.learn_rate.warmup_steps": 1,
        }
        arguments = [part for key, value in {**paths, **options}.items() for part in (f"--{key}", str(value))]
        done = python_spacy.run("-m", "spacy", "train", CONFIG, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return corpus / "training"

    return run


def test_the_shipped_config(train):
    out = train(
        **{
            "training.max_steps": 40,
            "training.optimizer.learn_rate.total_steps": 40,
            "training.eval_frequency": 20,
            "training.batcher.size": 300,
            "training.optimizer.learn_rate.initial_rate": 0.005,
            "components.transformer.model.window": 64,
            "components.transformer.model.context": 16,
        }
    )
    nlp = spacy.load(out / "model-best")
    assert nlp.meta["performance"]["ents_f"] > 0.9
    docs = list(nlp.pipe(TEXTS))
    assert [(e.text, e.label_) for e in docs[0].ents] == [("Ana", "PER"), ("Lima", "LOC")]
    assert [len(doc.ents) for doc in docs[3:6]] == [0, 0, 0] and len(docs[-1].ents) == 80
    assert [doc._.trf_data for doc in docs if len(doc)] == [None] * 7
    assert spacy.load(out / "model-last").pipe_names == nlp.pipe_names


def test_a_frozen_transformer(train, checkpoint):
    """Frozen and annotating, in a config that was never initialised: it learns nothing, its listener does."""
    out = train(
        **{
            "training.max_steps": 20,
            "training.optimizer.learn_rate.total_steps": 20,
            "training.eval_frequency": 10,
            "training.frozen_components": '["transformer"]',
            "training.annotating_components": '["transformer"]',
            "training.optimizer.learn_rate.initial_rate": 0.01,
            "components.transformer.model.storage_dtype": "float32",
        }
    )
    nlp = spacy.load(out / "model-best")
    assert nlp.meta["performance"]["ents_f"] > 0.5
    before = BloomModel.from_pretrained(checkpoint).state_dict()
    after = nlp.get_pipe("transformer").model.shims[0].module.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not before[name].equal(after[name])] == []
