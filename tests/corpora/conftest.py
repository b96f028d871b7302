"""What the tests of corpora share."""

import json

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_bloom.corpora.files import DataFile


@pytest.fixture(scope="session")
def nlp():
    """A pipeline of nothing but the multilingual tokenizer."""
    return spacy.blank(
        "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
    )


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of a text, or of records as lines of JSON. RETURNS: the file."""

    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        path.write_text(text, encoding="utf8")
        data_set, _, split = path.stem.partition(".")
        return DataFile(path, data_set, split or None)

    return make


@pytest.fixture(scope="session")
def load(nlp):
    """A function that reads the Docs of a `.spacy` file."""
    return lambda path: list(DocBin(store_user_data=True).from_disk(path).get_docs(nlp.vocab))
