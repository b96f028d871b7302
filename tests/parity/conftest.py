"""Checkpoints that both libraries load, with random weights and the bundled tokenizer."""

import pytest
import transformers

from spacy_bloom import BloomTokenizerFast


@pytest.fixture(scope="session")
def directory_of(tmp_path_factory, randomize):
    """A function from a class's name to a directory with a random model of it, made once."""
    tokenizer = BloomTokenizerFast.from_pretrained("tiny-bloom")
    made = {}

    def make(name, **fields):
        key = (name, *fields.items())
        if key not in made:
            config = transformers.BloomConfig(
                vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, pad_token_id=3, **fields
            )
            made[key] = tmp_path_factory.mktemp("both") / name
            randomize(getattr(transformers, name)(config)).save_pretrained(made[key])
            tokenizer.save_pretrained(made[key])
        return str(made[key])

    return make
