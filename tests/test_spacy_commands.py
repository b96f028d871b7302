"""spaCy's own commands work on every config of the repository and on the bundled pipelines, or say clearly why not.

They run inside this process, on a tiny random checkpoint and a handful of Docs.
"""

import importlib
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import load_config
from typer.testing import CliRunner

from spacy_bloom import bundled_path
from spacy_bloom.checkpoint.sources import BUNDLED_PIPELINES
from spacy_bloom.cli.train.training_config import make_config
from spacy_bloom.errors import ListenerError
from spacy_bloom.pipeline.answering.answers import Answer, set_answers

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.cfg") if not path.stem.startswith("train_lm"))
# Of what `init-config` writes, beyond what is shipped.
WRITTEN = {
    "spans": ["spans", "tagger", "senter"],
    "multilabel": ["tag", "morphologizer", "textcat_multilabel"],
}
# What is trained, and the threshold that it has; a component that has none says so.
TRAINED = {
    "entities_and_categories": "bloom_text_classifier",
    "question_answering": "bloom_question_answerer",
    "tags_and_syntax": "bloom_token_classifier_pos",
    "text_classification": "bloom_text_classifier",
    "token_classification": "bloom_token_classifier",
    "spans": "bloom_token_classifier_spans",
    "multilabel": "bloom_text_classifier",
}
SMALL = {
    "training.max_steps": 2,
    "training.eval_frequency": 1,
    "training.optimizer.learn_rate.total_steps": 2,
    "training.batcher.size": 30,
}
debug_data = importlib.import_module("spacy.cli.debug_data")  # the package has a function of this name


@dataclass(frozen=True)
class Case:
    """A config with all defaults, and how it is run."""

    config: Path
    options: list[str]
    name: str

    @property
    def is_trained(self) -> bool:
        return self.name in TRAINED

    @property
    def pipeline(self) -> list[str]:
        return load_config(self.config)["nlp"]["pipeline"]


def make_docs(nlp):
    """Six Docs with all annotation that a task learns from."""
    docs = []
    for turn in range(6):
        name, place = (("Ana", "Lima"), ("Omar", "Cairo"))[turn % 2]
        doc = Doc(
            nlp.vocab,
            words=[name, "lives", "in", place, "."],
            tags=["N", "V", "P", "N", "X"],
            pos=["PROPN", "VERB", "ADP", "PROPN", "PUNCT"],
            heads=[1, 1, 1, 2, 1],
            deps=["nsubj", "ROOT", "prep", "pobj", "punct"],
        )
        doc.set_ents([Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")])
        doc.spans["sc"] = [Span(doc, 0, 1, "PER"), Span(doc, 3, 4, "LOC")]
        doc.cats = {"south": float(turn % 2), "north": float(1 - turn % 2)}
        set_answers(doc, {"Where?": [Answer(3, 4)]})
        docs.append(doc)
    return docs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "docs.spacy"
    DocBin(docs=make_docs(spacy.blank("xx")), store_user_data=True).to_disk(path)
    return path


@pytest.fixture
def run(monkeypatch):
    """A function that runs a command. RETURNS: "" if it worked, otherwise what it said."""
    monkeypatch.setattr(debug_data, "BLANK_MODEL_MIN_THRESHOLD", 1)  # of Docs: fewer are an error
    monkeypatch.setattr(debug_data, "BLANK_MODEL_THRESHOLD", 1)

    def invoke(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)], env={"SPACY_CONFIG_OVERRIDES": None})
        if result.exit_code == 0:
            return ""
        said = result.output
        if not isinstance(result.exception, SystemExit):
            said += f"{type(result.exception).__name__}: {result.exception}"
        return " ".join(said.split())

    return invoke


@pytest.fixture
def case(run, data, checkpoint, tmp_path):
    """A function that makes a case of a name."""

    def make(name):
        config = tmp_path / f"{name}.cfg"
        if name in WRITTEN:
            make_config(WRITTEN[name], checkpoint=checkpoint, hidden_size=32).to_disk(config)
        else:
            assert run("init", "fill-config", CONFIGS / f"{name}.cfg", config) == ""
        options = {"paths.checkpoint": checkpoint, "paths.train": data, "paths.dev": data}
        if "parser" in load_config(config)["nlp"]["pipeline"]:
            options["components.parser.min_action_freq"] = 1
        return Case(
            config, [str(word) for pair in options.items() for word in ("--" + pair[0], pair[1])], name
        )

    return make


def test_the_configs_are_known():
    trained = {
        path.stem for path in CONFIGS.glob("*.cfg") if "[training.optimizer]" in path.read_text("utf8")
    }
    assert trained == set(TRAINED) - set(WRITTEN)


@pytest.mark.parametrize("name", [*SHIPPED, *WRITTEN])
def test_commands_on_configs(run, case, name):
    this = case(name)
    assert run("debug", "config", this.config, *this.options) == ""
    assert run("debug", "data", this.config, *this.options) == ""
    for component in this.pipeline:
        assert re.search(
            MODELS.get(component, "^$"), run("debug", "model", this.config, component, *this.options)
        )


# What `debug model` cannot look into, and what it says.
OWN = {"parser", "tagger", "morphologizer", "senter"}  # spaCy's own
NOT_TRAINABLE = "has no attribute 'update'"
LISTENS = (
    "^$|Expected the output of a transformer"  # it predicts in the end, and its Docs' activations are gone
)
MODELS = {
    **dict.fromkeys((*OWN, *TRAINED.values()), LISTENS),
    "bloom_token_classifier_tag": LISTENS,
    "bloom_question_answerer": "Expected questions in windows, got Docs",
    "bloom_surprisal": NOT_TRAINABLE,
    "bloom_text_generator": NOT_TRAINABLE,
    "bloom_zero_shot": NOT_TRAINABLE,
    "llm": "does not specify an object that holds a Model",
}


@pytest.mark.parametrize("name", [*SHIPPED, *WRITTEN])
def test_from_a_config_to_a_package(run, case, name, data, tmp_path):
    this = case(name)
    if this.is_trained:
        small = [str(word) for key, value in SMALL.items() for word in ("--" + key, value)]
        source = CONFIGS / f"{name}.cfg" if name in SHIPPED else this.config
        assert run("train", source, "--output", tmp_path / "out", *this.options, *small) == ""
        said = run("assemble", this.config, tmp_path / "assembled", *this.options)
        assert re.search("got no (labels|questions)|needs 2 labels or more|E143", said)
        directory = tmp_path / "out" / "model-last"
    else:
        assert run("assemble", this.config, tmp_path / "assembled", *this.options) == ""
        directory = tmp_path / "assembled"
    check_pipeline(run, directory, data, tmp_path, TRAINED.get(name, this.pipeline[-1]))


@pytest.mark.parametrize("name", BUNDLED_PIPELINES)
def test_bundled_pipelines(run, name, data, tmp_path):
    directory = bundled_path(name)
    options = ["--paths.train", data, "--paths.dev", data]
    assert run("debug", "config", directory / "config.cfg", *options) == ""
    assert run("debug", "data", directory / "config.cfg", *options) == ""
    assert run("init", "fill-config", directory / "config.cfg", tmp_path / "filled.cfg") == ""
    check_pipeline(run, directory, data, tmp_path, spacy.load(directory).pipe_names[-1])


def check_pipeline(run, directory, data, tmp_path, component):
    (tmp_path / "pages").mkdir()
    pages = ["--displacy-path", tmp_path / "pages", "--output", tmp_path / "scores.json"]
    assert run("evaluate", directory, data, *pages) == ""
    assert run("apply", directory, data, tmp_path / "applied.spacy") == ""
    assert len(list(DocBin().from_disk(tmp_path / "applied.spacy").get_docs(spacy.blank("xx").vocab))) == 6
    assert run("benchmark", "accuracy", directory, data) == ""
    assert run("benchmark", "speed", directory, data, "--batches", 30, "--batch-size", 1, "--warmup", 0) == ""
    said = run("find-threshold", directory, data, component, "threshold", "cats_macro_f", "--n_trials", 2)
    assert said == "" or re.search(r"sub-key .* not found|E1045|are available", said), said
    (tmp_path / "packages").mkdir()
    assert run("package", directory, tmp_path / "packages", "--build", "none", "--name", "packaged") == ""
    assert list((tmp_path / "packages").rglob("config.cfg"))
    check_updates(spacy.load(directory))


def check_updates(nlp):
    """What continues training makes its optimizer from the config, if none is given."""
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in make_docs(nlp)]
    assert nlp.resume_training().learn_rate is not None
    assert nlp.create_optimizer().learn_rate is not None
    nlp.update(examples)
    nlp.update(examples, sgd=None)
    nlp.resume_training()
    # spaCy rehearses one component at a time, without the transformer before it.
    refused = pytest.raises(ListenerError, match="got none") if OWN & set(nlp.pipe_names) else nullcontext()
    with refused:
        nlp.rehearse(examples)
