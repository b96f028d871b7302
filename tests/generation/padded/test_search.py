import pytest
import torch

from spacy_bloom.generation.arguments import Callbacks, Inputs
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.padded.search import needs_rectangle


def needs(model, callbacks=None, **options):
    inputs = Inputs(torch.zeros(1, 1), torch.ones(1, 1))
    return needs_rectangle(model, inputs, GenerationConfig(**options), callbacks or Callbacks())


@pytest.mark.parametrize(
    "options",
    [
        dict(return_dict_in_generate=True),
        dict(use_cache=False),
        dict(guidance_scale=2.0),
        dict(penalty_alpha=0.5),
        dict(dola_layers="low"),
        dict(num_beams=2, force_words_ids=[[5]]),
        dict(num_beams=2, num_beam_groups=2, diversity_penalty=1.0),
    ],
)
def test_what_needs_a_rectangle(language_model, options):
    assert needs(language_model, **options)


def test_what_rows_have_by_themselves(language_model):
    """The usual ways do not pay for the others."""
    assert not needs(language_model)
    assert not needs(language_model, num_beams=3, do_sample=True, repetition_penalty=1.2, suppress_tokens=[5])
    assert not needs(language_model, output_scores=True, penalty_alpha=0.5, do_sample=True, guidance_scale=1)
    assert not needs(language_model, Callbacks(processors=[lambda rows, scores: scores]))
    assert needs(language_model, Callbacks(processors=[lambda input_ids, scores: scores]))
    assert needs(language_model, Callbacks(criteria=[print])) and needs(language_model, Callbacks(streamer=1))


@pytest.mark.parametrize(
    "options", [{}, dict(num_beams=3), dict(do_sample=True, seed=4, num_return_sequences=2)]
)
def test_both_ways_give_the_same(language_model, options):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    plain = [language_model.generate(row[None], max_new_tokens=9, **options) for row in ids]
    steps = [
        language_model.generate(
            row[None], max_new_tokens=9, return_dict_in_generate=True, **options
        ).sequences
        for row in ids
    ]
    assert all(map(torch.equal, plain, steps))
