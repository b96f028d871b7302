"""A GPU config of spaCy works with BLOOM after the change that docs/tools.md shows."""

import re
from pathlib import Path

import pytest
import spacy
from spacy.cli.init_config import init_config
from spacy.cli.train import train
from spacy.tokens import DocBin, Span
from spacy.util import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corpus(tmp_path):
    nlp = spacy.blank("en")
    docs = []
    for name in ("Ana", "Wei") * 6:
        doc = nlp.make_doc(f"{name} lives in Lima")
        doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")])
        for token in doc:
            token.tag_ = "NAME" if token.is_title else "WORD"
        doc.cats = {"a": float(name == "Ana"), "b": float(name == "Wei")}
        docs.append(doc)
    DocBin(docs=docs).to_disk(tmp_path / "docs.spacy")
    return str(tmp_path / "docs.spacy")


def sections_of(config):
    """The sections of the stock transformer, and the rest. RETURNS: both as text."""
    parts = re.split(r"(?m)^(?=\[)", config)
    own = [part for part in parts if part.startswith("[components.transformer")]
    return "".join(own), "".join(part for part in parts if part not in own)


def test_the_change_in_the_docs(corpus, checkpoint, tmp_path):
    stock = init_config(lang="en", pipeline=["tagger", "ner", "textcat"], gpu=True, silent=True)
    own, rest = sections_of(stock.to_str())
    [diff] = re.findall(r"(?ms)^```diff\n(.*?)^```", (ROOT / "docs" / "tools.md").read_text(encoding="utf8"))
    lines = diff.splitlines()
    removed = {line[1:] for line in lines if line.startswith(("-", " ")) and line[1:].strip()}
    assert removed == {line for line in own.splitlines() if line.strip()}  # it is the whole block
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    path = tmp_path / "config.cfg"
    path.write_text(f"{rest}\n{new}\n", encoding="utf8")
    overrides = {
        "components.transformer.model.name": checkpoint,
        "paths.train": corpus,
        "paths.dev": corpus,
        "training.max_steps": 2,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.total_steps": 2,
        "system.gpu_allocator": None,
    }
    assert (
        'name = "bigscience/bloom-560m"' in new and load_config(path)["nlp"]["pipeline"][0] == "transformer"
    )
    train(path, tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    doc = nlp("Ana lives in Lima")
    assert set(doc.cats) == {"a", "b"} and all(token.tag_ for token in doc)
    assert nlp.meta["performance"]["ents_f"] is not None
