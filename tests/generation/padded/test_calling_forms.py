import pytest
import torch

from spacy_bloom.errors import InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.generation.padded.calling_forms import (
    FromInputIds,
    PrefixAllowed,
    Rectangle,
    as_list,
    in_rows,
    takes_rows,
)
from spacy_bloom.generation.processors.chain import logits_processors
from spacy_bloom.generation.processors.lengths import MinLength
from spacy_bloom.generation.rows import Row


class MinLengthLogitsProcessor:
    """Of the name of one of Hugging Face's."""

    def __call__(self, input_ids, scores):
        return scores


def test_forms_are_told_by_the_first_argument():
    assert takes_rows(MinLength(3, [2])) and takes_rows(lambda rows, scores: scores)
    assert not takes_rows(MinLengthLogitsProcessor()) and not takes_rows(lambda ids, scores: scores)
    own = MinLength(3, [2])
    assert in_rows([own], Rectangle(torch.zeros(1, 1)))[0] is own
    assert as_list(None) == [] and as_list(own) == [own] and as_list((own,)) == [own]


def test_ids_are_those_of_the_rectangle():
    rectangle = Rectangle(torch.tensor([[3, 5]]), {"beam_group_idx": 4, "current_tokens": 6})
    seen = []
    FromInputIds(lambda ids, scores: seen.append(ids.tolist()) or scores, rectangle)([], torch.zeros(1, 2))
    FromInputIds(lambda ids, scores, beam_group_idx: seen.append(beam_group_idx), rectangle)(
        [], torch.zeros(1, 2)
    )
    assert seen == [[[3, 5]], 4]


def test_one_of_their_classes_takes_an_options_place():
    custom = FromInputIds(MinLengthLogitsProcessor(), Rectangle(torch.zeros(1, 1)))
    chain = logits_processors(GenerationConfig(min_length=3, eos_token_id=2), 9, custom=[custom])
    assert chain[0] is custom and not any(isinstance(p, MinLength) for p in chain)


def test_allowed_prefixes():
    rectangle = Rectangle(torch.tensor([[1, 4], [1, 5]]))
    allowed = PrefixAllowed(lambda number, ids: [number, int(ids[-1])], rectangle)
    found = allowed([Row([1], [4], 0), Row([1], [5], 1)], torch.zeros(2, 6))
    assert found.isfinite().nonzero().tolist() == [[0, 0], [0, 4], [1, 1], [1, 5]]
    with pytest.raises(InputError, match="none for prompt 1 after 1 added"):
        PrefixAllowed(lambda number, ids: [] if number else [0], rectangle)(
            [Row([1], [4], 0), Row([1], [5], 1)], torch.zeros(2, 6)
        )
