"""The command fits temperatures that are kept with the pipeline, changes no prediction, and says what it cannot do."""

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_bloom.cli  # its commands are added to spaCy's

from ..conftest import OLD_CLICK

DEMO = "xx_bloom_tiny_demo"
TOKENS, TEXTS = "bloom_token_classifier", "bloom_text_classifier"
SENTENCES = [
    "Angela Merkel met Barack Obama in Berlin.",
    "Maria lives in Lisbon and works for Google.",
    "The United Nations met in New York.",
    "Paris is the capital of France.",
    "John Smith moved from London to Madrid.",
    "Jakarta and Delhi are cities in Asia.",
]


def run(*arguments):
    result = CliRunner().invoke(app, ["bloom", "calibrate", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def nlp():
    config = {f"components.{name}.temperature": 1.0 for name in (TOKENS, TEXTS)}
    config[f"components.{TOKENS}.score_attr"] = "certainty"
    return spacy.load(spacy_bloom.bundled_path(DEMO), config=config)


@pytest.fixture(scope="module")
def corpus(nlp, tmp_path_factory):
    """What the pipeline predicts, every other Doc annotated otherwise: it is surer than it is right."""
    docs = list(nlp.pipe(SENTENCES * 2))
    for number, doc in enumerate(docs):
        best = max(doc.cats, key=doc.cats.get)
        right = best if number % 2 else next(label for label in doc.cats if label != best)
        doc.cats = {label: float(label == right) for label in doc.cats}
        doc.user_data.clear()
        if not number % 2:
            doc.ents = []
    folder = tmp_path_factory.mktemp("corpus")
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    return folder


def test_temperatures_are_saved_and_change_no_prediction(nlp, corpus, tmp_path):
    output = tmp_path / "calibrated"
    result = run(spacy_bloom.bundled_path(DEMO), corpus, output, "--test", "dev")
    assert result.exit_code == 0, result.output
    config = {f"components.{TOKENS}.score_attr": "certainty"}
    cooled = spacy.load(output, config=config)
    for name in (TOKENS, TEXTS):
        assert (
            cooled.config["components"][name]["temperature"] == cooled.get_pipe(name).cfg["temperature"] > 1
        )
        assert name in result.output
    for before, after in zip(nlp.pipe(SENTENCES), cooled.pipe(SENTENCES), strict=True):
        assert [(e.start, e.end, e.label) for e in before.ents] == [
            (e.start, e.end, e.label) for e in after.ents
        ]
        assert max(before.cats, key=before.cats.get) == max(after.cats, key=after.cats.get)
        assert max(after.cats.values()) < max(before.cats.values())
        assert sum(after.cats.values()) == pytest.approx(1, abs=1e-5)
        for one, other in zip(before.ents, after.ents, strict=True):
            assert 0 < other._.certainty < one._.certainty <= 1


def test_what_has_no_annotation_stays_as_it_is(corpus, tmp_path):
    docs = list(DocBin().from_disk(corpus / "dev.spacy").get_docs(spacy.blank("xx").vocab))
    for doc in docs:
        doc.cats = {}
    DocBin(docs=docs).to_disk(tmp_path / "ents.spacy")
    warm = spacy.load(spacy_bloom.bundled_path(DEMO), config={f"components.{TEXTS}.temperature": 2.5})
    warm.to_disk(tmp_path / "warm")
    result = run(tmp_path / "warm", tmp_path / "ents.spacy", tmp_path / "out")
    assert result.exit_code == 0 and f"{TEXTS}: the data have no annotation" in result.output
    loaded = spacy.load(tmp_path / "out")
    assert (
        loaded.get_pipe(TEXTS).cfg["temperature"] == loaded.config["components"][TEXTS]["temperature"] == 2.5
    )


def test_a_pipeline_without_classifiers(corpus, tmp_path):
    spacy.blank("xx").to_disk(tmp_path / "blank")
    result = run(tmp_path / "blank", corpus, tmp_path / "out")
    assert result.exit_code == 1 and not (tmp_path / "out").exists()
    assert "bloom_token_classifier or bloom_text_classifier" in " ".join(
        (result.output if OLD_CLICK else result.stderr).split()
    )
