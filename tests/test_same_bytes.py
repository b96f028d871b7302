"""Two trainings with the same seed write the same files, whatever the order in which Python's sets are gone through."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

ROOT = Path(__file__).parent.parent
TEXTS = ["Ana lives in Rio", "Omar saw Cairo", "Bo met Ana and Omar in Lima", "rain in Rio"] * 3
NAMES = {"Ana": "PER", "Omar": "PER", "Bo": "PER", "Rio": "LOC", "Cairo": "LOC", "Lima": "LOC"}


@pytest.fixture(scope="session")
def pythons(python_spacy, make_python):
    """The process that runs scripts, and another one whose sets have another order."""
    assert python_spacy.hash_seed == 1
    return python_spacy, make_python(*python_spacy.modules, hash_seed=2)


def trained(python, folder, options, *command):
    """Train into a folder of its own. RETURNS: the bytes of each file of model-last."""
    output = folder / str(python.hash_seed)
    changed = [f"--{name}={value}" for name, value in options.items()]
    done = python.run("-m", "spacy", *command, output, *changed)
    assert done.returncode == 0, done.stdout + done.stderr
    model = output / "model-last"
    return {path.relative_to(model): path.read_bytes() for path in sorted(model.rglob("*")) if path.is_file()}


@pytest.fixture
def corpus(tmp_path):
    nlp, docs = spacy.blank("xx"), []
    for text in TEXTS:
        words = text.split()
        doc = Doc(
            nlp.vocab,
            words=words,
            pos=["PROPN" if word in NAMES else "VERB" for word in words],
            heads=[max(i - 1, 0) for i in range(len(words))],
            deps=["ROOT", *["dep"] * (len(words) - 1)],
        )
        doc.set_ents([Span(doc, i, i + 1, NAMES[word]) for i, word in enumerate(words) if word in NAMES])
        doc.cats = {
            "people": float("Ana" in text),
            "rain": float("rain" in text),
            "other": float("saw" in text),
        }
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "corpus.spacy")
    return tmp_path / "corpus.spacy"


MODEL = "components.transformer.model"


@pytest.mark.parametrize(
    "config, changes",
    [
        ("entities_and_categories", {}),
        (
            "tags_and_syntax",
            {
                f"{MODEL}.attention": "bidirectional",
                f"{MODEL}.lora": '{"r": 2, "dropout": 0.1}',
                "components.parser.min_action_freq": 1,
            },
        ),
    ],
)
def test_pipelines(checkpoint, corpus, tmp_path, pythons, config, changes):
    options = {
        "paths.train": corpus,
        "paths.dev": corpus,
        "paths.checkpoint": checkpoint,
        "training.max_steps": 6,
        "training.optimizer.learn_rate.total_steps": 6,
        "training.eval_frequency": 3,
        "training.batcher.size": 20,
        "training.optimizer.learn_rate.warmup_steps": 1,
        **changes,
    }
    config = ROOT / "configs" / f"{config}.cfg"
    first, second = (trained(python, tmp_path, options, "train", config, "--output") for python in pythons)
    assert first.keys() == second.keys() and len(first) > 8
    assert [str(path) for path in first if first[path] != second[path]] == []


def test_language_models(tmp_path, pythons):
    (tmp_path / "xx.txt").write_text(
        "".join(f"line {i} of text, and {i * i}\n" for i in range(300)), encoding="utf8"
    )
    options = {
        "paths.text": tmp_path / "xx.txt",
        "tokenizer.vocab_size": 320,
        "model.hidden_size": 16,
        "model.n_layer": 2,
        "model.n_head": 2,
        "model.hidden_dropout": 0.1,
        "data.max_length": 32,
        "data.batch_pieces": 128,
        "training.max_minutes": 0,
        "training.max_steps": 6,
    }
    config = ROOT / "configs" / "train_lm_tiny.cfg"
    first, second = (trained(python, tmp_path, options, "bloom", "train-lm", config) for python in pythons)
    assert Path("model.safetensors") in first and Path("tokenizer.json") in first
    assert first == second
