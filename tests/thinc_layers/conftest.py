"""A tiny random checkpoint, and models of it."""

import pytest
from tokenizers import Tokenizer

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.thinc_layers.architectures import create_transformer_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_tokenizer_json, randomize) -> str:
    """A directory with a random language model of 32 hidden numbers and 2 layers. Read it; copy it to change
    it.
    """
    path = tmp_path_factory.mktemp("bloom") / "random-bloom"
    tokenizer = BloomTokenizerFast(Tokenizer.from_str(tiny_tokenizer_json))
    config = BloomConfig(vocab_size=len(tokenizer) + 8, hidden_size=32, n_layer=2, n_head=4, pad_token_id=3)
    randomize(BloomForCausalLM(config)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def make_model(checkpoint):
    """A function that makes a transformer model, its weights loaded."""

    def make(window=512, context=128, max_batch_pieces=4096, **options):
        model = create_transformer_model(checkpoint, window=window, context=context, **options)
        model.attrs["max_batch_pieces"] = max_batch_pieces
        model.initialize()
        return model

    return make
