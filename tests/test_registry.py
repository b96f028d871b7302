"""Every registered name is a line in setup.cfg; a released name never goes away."""

import configparser
import importlib
from pathlib import Path

import pytest
from spacy import registry
from spacy.language import Language

ROOT = Path(__file__).parent.parent
RELEASED = {
    "spacy_factories": {
        "bloom_transformer",
        "bloom_token_classifier",
        "bloom_text_classifier",
        "bloom_question_answerer",
        "bloom_text_generator",
        "bloom_zero_shot",
        "bloom_surprisal",
    },
    "spacy_architectures": {
        "spacy-bloom.TransformerModel.v1",
        "spacy-bloom.TransformerModel.v2",
        "spacy-bloom.TransformerListener.v1",
        "spacy-bloom.Tok2VecTransformer.v1",
        "spacy-bloom.Tok2VecTransformer.v2",
        "spacy-bloom.LanguageModel.v1",
        "spacy-bloom.LanguageModel.v2",
        "spacy-bloom.EncodedTok2Vec.v1",
        "spacy-bloom.TokenClassifier.v1",
        "spacy-bloom.TokenClassifier.v2",
        "spacy-bloom.TextClassifier.v1",
        "spacy-bloom.TextClassifier.v2",
        "spacy-bloom.NgramClassifier.v1",
        "spacy-bloom.NgramTokenClassifier.v1",
        "spacy-bloom.QuestionAnswerer.v1",
        "spacy-bloom.QuestionAnswerer.v2",
    },
    "spacy_loggers": {"spacy-bloom.ConsoleLogger.v1"},
    "spacy_tokenizers": {"spacy-bloom.MultilingualTokenizer.v1"},
    "spacy_scorers": {
        "spacy-bloom.token_classifier_scorer.v1",
        "spacy-bloom.text_classifier_scorer.v1",
        "spacy-bloom.question_answerer_scorer.v1",
        "spacy-bloom.zero_shot_scorer.v1",
    },
    "thinc_llm_models": {"spacy-bloom.Bloom.v1"},
    "spacy_cli": {"bloom"},
}


def entry_points() -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str
    parser.read(ROOT / "setup.cfg", encoding="utf8")
    groups = parser["options.entry_points"]
    return {
        group: dict(map(str.strip, line.split("=")) for line in lines.strip().splitlines())
        for group, lines in groups.items()
    }


def test_setup_cfg_has_exactly_the_released_names():
    assert {group: set(names) for group, names in entry_points().items()} == RELEASED


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in sorted(RELEASED) for name in sorted(RELEASED[group])]
)
def test_entry_point_resolves(group, name):
    module, _, attribute = entry_points()[group][name].partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("group", ["architectures", "loggers", "tokenizers", "scorers"])
def test_names_are_found_by_spacy(group):
    for name in RELEASED[f"spacy_{group}"]:
        assert callable(registry.get(group, name))


@pytest.mark.parametrize("name", sorted(RELEASED["spacy_factories"]))
def test_factories_are_found_by_spacy(name):
    assert Language.get_factory_meta(name).factory == name
