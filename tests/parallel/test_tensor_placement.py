import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import InputError
from spacy_bloom.parallel.tensor_placement import TensorPlacement

CONFIG = BloomConfig(n_head=6, hidden_size=24, n_layer=1, vocab_size=101)


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 6])
def test_parts_make_up_the_whole(n_ranks):
    placements = [TensorPlacement(rank, n_ranks) for rank in range(n_ranks)]
    for name, weight in BloomForCausalLM(CONFIG).named_parameters():
        slices = [placement(name, tuple(weight.shape)).slices for placement in placements]
        if not slices[0]:
            assert set(slices) == {()}
            continue
        parts = [weight[own] for own in slices]
        dimension = len(slices[0]) - 1
        assert torch.equal(torch.cat(parts, dim=dimension), weight)
        lengths = [part.shape[dimension] for part in parts]
        assert max(lengths) - min(lengths) <= 1


def test_a_fused_projection_is_cut_between_heads():
    (rows,) = TensorPlacement(1, 3)("h.0.self_attention.query_key_value.weight", (72, 24)).slices
    assert rows == slice(2 * 3 * 4, 4 * 3 * 4)  # heads 2 and 3 of 6


def test_scales_of_integers_are_cut_with_their_rows():
    place = TensorPlacement(0, 2)
    assert place("h.0.mlp.dense_h_to_4h.weight_scale", (96,)).slices == (slice(0, 48),)
    assert place("h.0.mlp.dense_4h_to_h.weight_scale", (24,)).slices == ()
    assert place("h.0.mlp.dense_4h_to_h.weight", (24, 96)).slices == (slice(None), slice(0, 48))


def test_ranks_that_do_not_fit():
    TensorPlacement(0, 3).check(CONFIG)
    with pytest.raises(InputError, match="6 heads \\(1, 2, 3, 6\\), got 4"):
        TensorPlacement(0, 4).check(CONFIG)
    with pytest.raises(InputError, match="3 ranks for 2 rows"):
        TensorPlacement(0, 3).check(BloomConfig(n_head=3, hidden_size=12, n_layer=1, vocab_size=2))
