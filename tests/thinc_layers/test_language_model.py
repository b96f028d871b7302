import math

import numpy
import pytest
import torch

from spacy_bloom import BloomForCausalLM, BloomModel
from spacy_bloom.errors import ConfigError
from spacy_bloom.thinc_layers.language_model import create_language_model, language_model_on

ROWS = [[3, 4, 5, 6], [7], [8, 9, 10]]


def test_surprisal_is_what_the_logits_say(checkpoint):
    module = BloomForCausalLM.from_pretrained(checkpoint)
    found = create_language_model(checkpoint).predict(ROWS)
    for row, bits in zip(ROWS, found, strict=True):
        with torch.no_grad():
            log_probs = module(torch.tensor([row])).logits[0].log_softmax(dim=-1)
        expected = [-float(log_probs[i, piece]) / math.log(2) for i, piece in enumerate(row[1:])]
        assert math.isnan(bits[0])
        numpy.testing.assert_allclose(bits[1:], expected, rtol=1e-4)


def test_it_is_not_trained_here(checkpoint):
    model = create_language_model(checkpoint)
    with pytest.raises(NotImplementedError, match="train-lm"):
        model.begin_update(ROWS)[1]([])


def test_a_language_model_around_a_decoder(checkpoint):
    decoder = BloomModel.from_pretrained(checkpoint)
    model = language_model_on(decoder)
    assert model.transformer is decoder and not model.training
    assert model.lm_head.weight is decoder.word_embeddings.weight
    ids = torch.tensor([ROWS[0]])
    with torch.no_grad():
        expected = BloomForCausalLM.from_pretrained(checkpoint)(ids).logits
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_decoder_lacks_a_head_of_its_own(checkpoint):
    decoder = BloomModel(BloomModel.from_pretrained(checkpoint).config.replace(tie_word_embeddings=False))
    with pytest.raises(ConfigError, match="upstream = null"):
        language_model_on(decoder)
