import copy
import random

import pytest
import torch

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.bloom.alibi import alibi_slopes
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.bloom.views import CHUNK_ROWS, MAX_PADDED, MIN_FILL, PackedView, PaddedView
from spacy_bloom.errors import InputError

LENGTHS = [
    [1],
    [7],
    [1, 1, 1],
    [5, 5, 5],
    [3, 1, 9, 2, 9, 1],
    [40, 1, 39, 2, 38, 3, 30],
    [1, 2, 3, 4, 5, 60],
    [random.Random(0).randint(1, 50) for _ in range(25)],
    [random.Random(1).choice([1, 2, 90]) for _ in range(12)],
]


@pytest.fixture(scope="module")
def model(randomize):
    config = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)
    return randomize(BloomModel(config)).eval()


def sequences(lengths, vocab_size=97, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(vocab_size, (length,), generator=generator) for length in lengths]


def pad(rows, side):
    longest = max(map(len, rows))
    ids, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        ids[i, place], mask[i, place] = row, 1
    return ids, mask


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)}x{max(lengths)}")
def test_packed_equals_padded(model, difference, lengths, side):
    rows = sequences(lengths)
    ids, mask = pad(rows, side)
    padded = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    packed = model.hidden_states_packed(torch.cat(rows), lengths)
    assert len(packed) == len(padded) == model.config.n_layer + 1
    for ours, theirs in zip(packed, padded, strict=True):
        assert difference(ours, theirs[mask.bool()]) < 1e-5


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)}x{max(lengths)}")
def test_gradients_of_packed_equal_those_of_padded(model, difference, lengths):
    rows = sequences(lengths)
    ids, mask = pad(rows, "left")
    weight = torch.randn(sum(lengths), 24, generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    (model.encode_packed(torch.cat(rows), lengths) * weight).sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    (model(ids, attention_mask=mask).last_hidden_state[mask.bool()] * weight).sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith(
            "query_key_value.bias"
        ):  # that of the keys cancels in the softmax: rounding is all it has
            parameter, packed_grad = (g.view(3, 3, 8)[:, [0, 2]] for g in (parameter.grad, packed[name]))
            scale = parameter.abs().max()
            assert (packed_grad - parameter).abs().max() <= 1e-5 * max(scale, 1.0), name
        else:
            assert difference(packed[name], parameter.grad) < 1e-5, name


def test_order_of_sequences_does_not_matter(model):
    lengths = LENGTHS[-2]
    rows = sequences(lengths)
    with torch.no_grad():
        expected = model.encode_packed(torch.cat(rows), lengths).split(lengths)
        for seed in range(3):
            order = random.Random(seed).sample(range(len(rows)), len(rows))
            again = [lengths[i] for i in order]
            states = model.encode_packed(torch.cat([rows[i] for i in order]), again).split(again)
            for i, state in zip(order, states, strict=True):
                torch.testing.assert_close(
                    state, expected[i], rtol=0, atol=1e-6 * expected[i].abs().max().item()
                )


def test_neighbours_do_not_matter(model, difference):
    lengths = LENGTHS[5]
    rows = sequences(lengths)
    with torch.no_grad():
        together = model.encode_packed(torch.cat(rows), lengths).split(lengths)
        for row, states in zip(rows, together, strict=True):
            assert difference(states, model.encode_packed(row, [len(row)])) < 1e-5


def test_sequences_do_not_attend_to_each_other(model):
    lengths = [4, 6, 4, 1, 5]
    rows = sequences(lengths)
    embeddings = []
    hook = model.word_embeddings.register_forward_hook(lambda module, ids, output: embeddings.append(output))
    states = model.encode_packed(torch.cat(rows), lengths).split(lengths)
    hook.remove()
    for i, state in enumerate(states):
        (grad,) = torch.autograd.grad(state.square().sum(), embeddings, retain_graph=True)
        reached = [part.abs().sum().item() > 0 for part in grad.split(lengths)]
        assert reached == [j == i for j in range(len(rows))]


def test_pieces_do_not_see_what_follows(model):
    rows = sequences([9])
    changed = rows[0].clone()
    changed[5:] = (changed[5:] + 1) % 97
    for encode in (
        lambda ids: model.encode_packed(ids, [9]),
        lambda ids: model(ids[None]).last_hidden_state[0],
    ):
        one, other = encode(rows[0]), encode(changed)
        assert torch.equal(one[:5], other[:5])
        assert (one[5:] != other[5:]).any(-1).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_number_of_threads_does_not_matter(model, difference, threads):
    lengths = LENGTHS[-2]
    rows = sequences(lengths)
    with torch.no_grad():
        expected = model.encode_packed(torch.cat(rows), lengths)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            assert difference(model.encode_packed(torch.cat(rows), lengths), expected) < 1e-5
        finally:
            torch.set_num_threads(before)


def test_groups_cover_every_piece_once_and_bound_the_padding():
    lengths = [1, 20, 3, 19, 2, 18, 50, 49, *[400] * 60]
    view = PackedView(lengths, alibi_slopes(2))
    assert sum(group.pieces for group in view.groups) == sum(lengths)
    assert sum(group.sequences for group in view.groups) == len(lengths)
    for group in view.groups:
        square = group.sequences * group.length
        assert square <= CHUNK_ROWS
        assert group.pieces >= MIN_FILL * square
        if group.rows is None:
            assert group.pieces == square
        else:
            assert group.length <= MAX_PADDED
            assert group.rows[group.real].tolist() == list(range(group.pieces))
    assert any(group.rows is not None for group in view.groups)


@pytest.mark.parametrize("lengths", [[3], [5, 4, 4, 1], [1, 4, 2, 4], [2, 2, 2]])
def test_arranging_puts_the_longest_first_and_restoring_undoes_it(lengths):
    view = PackedView(lengths, alibi_slopes(2))
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    arranged = view.arrange(owner)
    runs = arranged.unique_consecutive().tolist()
    assert sorted(runs) == list(range(len(lengths)))
    assert [lengths[i] for i in runs] == sorted(lengths, reverse=True)
    packed = torch.randn(sum(lengths), 3)
    assert torch.equal(view.restore(view.arrange(packed)), packed)


def test_shapes_of_a_packed_view():
    view = PackedView([2, 5, 1], alibi_slopes(3))
    query, key, value = torch.randn(3, 8, 3, 4)  # (pieces, n_head, head_dim) each
    assert view.attend(0, query, key, value, 0.0).shape == (8, 12)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2], [3, -1]])
def test_lengths_that_are_none(lengths):
    with pytest.raises(InputError, match="at least one piece"):
        PackedView(lengths, alibi_slopes(3))


def test_shapes_of_a_padded_view():
    cache = KeyValueCache(1)
    for length, keys in ((5, 5), (2, 7)):
        view = PaddedView(torch.ones(2, keys), length, alibi_slopes(3), cache, output_attentions=True)
        assert view.bias.shape == (2, 3, length, keys)
        query, key, value = torch.randn(3, 2, length, 3, 4)  # (batch, length, n_head, head_dim) each
        assert view.attend(0, query, key, value, 0.0).shape == (2, length, 12)
        assert view.attentions[0].shape == (2, 3, length, keys)


def test_padding_weighs_nothing_and_its_own_rows_are_finite():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]])
    view = PaddedView(mask, 4, alibi_slopes(3), output_attentions=True)
    query, key, value = torch.randn(3, 3, 4, 3, 4)
    assert torch.isfinite(view.attend(0, query, key, value, 0.0)).all()
    weights = view.attentions[0]
    assert (weights[0, :, 2:, :2] == 0).all() and (weights[1, :, :3, 3] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 3, 4))


@pytest.mark.parametrize("output_attentions", [False, True])
def test_gradients_of_rows_that_attend_to_nothing(output_attentions):
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    view = PaddedView(mask, 4, alibi_slopes(3), output_attentions=output_attentions)
    query, key, value = (torch.randn(2, 4, 3, 4).requires_grad_() for _ in range(3))
    view.attend(0, query, key, value, 0.0)[0, 0].sum().backward()  # uniform over the 4 keys of its row
    torch.testing.assert_close(value.grad[0], torch.full((4, 3, 4), 0.25))
    assert not value.grad[1].any()


class PlainView:
    """Sequence by sequence, piece by piece: each attends to all pieces of its sequence in the layers from
    `causal_layers` on, and to those before it in the others.
    """

    def __init__(self, lengths, slopes, causal_layers):
        self.lengths, self.slopes, self.causal_layers = lengths, slopes, causal_layers

    def attend(self, layer, query, key, value, dropout):
        contexts = []
        for q, k, v in zip(*(x.split(self.lengths) for x in (query, key, value)), strict=True):
            for i in range(len(q)):
                end = i + 1 if layer < self.causal_layers else len(k)
                distance = (torch.arange(end) - i).abs()
                scores = (k[:end] * q[i]).sum(-1) / q.shape[-1] ** 0.5  # (keys, n_head)
                weights = (scores - distance[:, None] * self.slopes).softmax(dim=0)
                contexts.append((weights[..., None] * v[:end]).sum(dim=0).flatten())
        return torch.stack(contexts)


def plainly(model, rows, bidirectional_layers):
    causal_layers = model.config.n_layer - bidirectional_layers
    view = PlainView([len(row) for row in rows], alibi_slopes(model.config.n_head), causal_layers)
    return model._run(model.word_embeddings(torch.cat(rows)), view, False)[-1]


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)}x{max(lengths)}")
def test_last_layers_attend_to_both_sides(model, difference, lengths, layers):
    rows = sequences(lengths)
    with torch.no_grad():  # the way of small attention
        fast = model.encode_packed(torch.cat(rows), lengths, bidirectional_layers=layers)
    packed = model.encode_packed(torch.cat(rows), lengths, bidirectional_layers=layers)
    with torch.no_grad():
        expected = plainly(model, rows, layers)
    assert difference(fast, expected) < 1e-5
    assert difference(packed, expected) < 1e-5


@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_of_both_sides(model, difference, layers):
    lengths = LENGTHS[4]
    rows = sequences(lengths)
    weight = torch.randn(sum(lengths), 24, generator=torch.Generator().manual_seed(1))
    gradients = []
    for states in (
        model.encode_packed(torch.cat(rows), lengths, bidirectional_layers=layers),
        plainly(model, rows, layers),
    ):
        model.zero_grad()
        (states * weight).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, expected in gradients[1].items():
        if not name.endswith("query_key_value.bias"):  # see above
            assert difference(gradients[0][name], expected) < 1e-5, name


def test_both_sides_of_a_sequence_and_nothing_of_its_neighbours(model):
    lengths = [4, 6, 4, 1, 5]
    rows = sequences(lengths)
    embeddings = []
    hook = model.word_embeddings.register_forward_hook(lambda module, ids, output: embeddings.append(output))
    states = model.encode_packed(torch.cat(rows), lengths, bidirectional_layers=1).split(lengths)
    hook.remove()
    for i, state in enumerate(states):
        for piece in state:
            (grad,) = torch.autograd.grad(piece.square().sum(), embeddings, retain_graph=True)
            reached = [bool((part.abs().sum(-1) > 0).all()) for part in grad.split(lengths)]
            assert reached == [j == i for j in range(len(rows))]
            untouched = torch.cat([part for j, part in enumerate(grad.split(lengths)) if j != i])
            assert not untouched.any()


def test_only_causal_layers_tell_left_from_right(model, difference):
    (row,) = sequences([9])
    for layers, tells in ((2, False), (1, True)):
        states = model.encode_packed(row, [9], bidirectional_layers=layers)
        mirrored = model.encode_packed(row.flip(0), [9], bidirectional_layers=layers).flip(0)
        assert (difference(states, mirrored) > 1e-3) == tells


@pytest.mark.parametrize("layers", [-1, 3])
def test_no_more_layers_than_there_are(model, layers):
    with pytest.raises(InputError, match="from 0 to the model's 2"):
        model.encode_packed(torch.arange(3), [3], bidirectional_layers=layers)


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)}x{max(lengths)}")
def test_long_sequences_may_be_padded_too(model, difference, lengths, monkeypatch):
    rows = torch.cat(sequences(lengths))
    with torch.no_grad():
        expected = (
            model.encode_packed(rows, lengths),
            model.encode_packed(rows, lengths, bidirectional_layers=1),
        )
        monkeypatch.setattr("spacy_bloom.bloom.views.MAX_PADDED", 10**6)  # as on a GPU
        monkeypatch.setattr("spacy_bloom.bloom.views.MIN_FILL", 0.1)
        assert difference(model.encode_packed(rows, lengths), expected[0]) < 1e-5
        assert difference(model.encode_packed(rows, lengths, bidirectional_layers=1), expected[1]) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_float32_in_both_views(model, dtype):
    half = copy.deepcopy(model).to(dtype)
    exact = copy.deepcopy(half).float()
    rows = sequences([40, 3, 17])
    ids, mask = pad(rows, "left")
    with torch.no_grad():
        expected = exact.encode_packed(torch.cat(rows), [40, 3, 17])
        packed = half.encode_packed(torch.cat(rows), [40, 3, 17]).float()
        padded = half(ids, attention_mask=mask).last_hidden_state.float()
    bound = 12 * torch.finfo(dtype).eps * expected.abs().max()
    assert padded.isfinite().all()  # rows of padding, which may attend to nothing, too
    assert (packed - expected).abs().max() < bound
    assert (padded[mask.bool()] - expected).abs().max() < bound
