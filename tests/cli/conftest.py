"""What the tests of debug-pieces share: the bundled checkpoint's tokenizer and a function that cuts texts with it."""

import pytest
import spacy

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.cli.inputs import MULTILINGUAL
from spacy_bloom.cli.pieces.view import cut_texts
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings


@pytest.fixture(scope="session")
def multilingual():
    """A pipeline of nothing but the multilingual tokenizer."""
    return spacy.blank("xx", config={"nlp": {"tokenizer": MULTILINGUAL}})


@pytest.fixture(scope="session")
def tiny_bloom():
    """The bundled checkpoint's tokenizer."""
    return BloomTokenizerFast.from_pretrained("tiny-bloom")


@pytest.fixture(scope="session")
def cut(multilingual, tiny_bloom):
    """A function that cuts a text, or a Doc."""

    def cut_one(text, window=512, context=128):
        doc = multilingual(text) if isinstance(text, str) else text
        return cut_texts(tiny_bloom, [doc], WindowSettings(window, context))[0]

    return cut_one
