"""Beam search follows each prompt by itself. Its ids beside Hugging Face's are compared in tests/parity."""

from itertools import product

import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.beams import beam_search
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.stopping import Stopping


class Keep:
    """Leaves some pieces, and remembers the numbers of the rows it was given."""

    def __init__(self, *pieces):
        self.pieces, self.numbers = list(pieces), []

    def __call__(self, rows, scores):
        self.numbers.append([row.number for row in rows])
        kept = torch.full_like(scores, -torch.inf)
        kept[:, self.pieces] = scores[:, self.pieces]
        return kept


def search(model, prompts, chain, **options):
    config = GenerationConfig(**options)
    with torch.inference_mode():
        return dict(beam_search(model, prompts, config, chain, Stopping(config)))


def test_with_enough_beams_the_best_sequence_of_all_is_found(language_model):
    prompt, pieces, length = [5, 9, 2], (4, 11, 30), 3
    (beams,) = search(language_model, [prompt], [Keep(*pieces)], num_beams=9, max_new_tokens=length).values()

    def score(added):
        logits = language_model(torch.tensor([[*prompt, *added]])).logits[0].log_softmax(-1)
        return sum(logits[len(prompt) - 1 + i, piece].item() for i, piece in enumerate(added)) / length

    with torch.no_grad():
        expected = sorted(
            ((score(added), list(added)) for added in product(pieces, repeat=length)), reverse=True
        )
    assert [beam.pieces for beam in beams] == [added for _, added in expected[:9]]
    assert [beam.score for beam in beams] == pytest.approx([value for value, _ in expected[:9]], abs=1e-4)
    assert {beam.finished for beam in beams} == {"length"}


def test_rows_know_their_prompts_number(language_model):
    keep = Keep(4, 11, 30)
    found = search(language_model, [[5], [5], [7, 8]], [keep], num_beams=2, max_new_tokens=2)
    assert keep.numbers == [[0, 1, 2], [0, 0, 1, 1, 2, 2]]
    assert [b.pieces for b in found[0]] == [b.pieces for b in found[1]]


def test_a_prompt_that_nothing_may_follow_is_an_error(language_model):
    with pytest.raises(InputError, match="row 0"):
        search(language_model, [[5]], [Keep()], num_beams=2, max_new_tokens=2)
