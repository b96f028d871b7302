"""The head answers what is asked about next pieces, with the numbers of all its logits."""

import pytest
import torch
from torch.nn import functional as F

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom.lm_head import LinearLMHead, LMHead
from spacy_bloom.bloom.losses import IGNORED_LABEL

HIDDEN, VOCAB = 8, 37


class Rounded(LMHead):
    """A head that has nothing but its logits."""

    def __init__(self, head):
        super().__init__()
        self.vocab_size = head.vocab_size
        self.register_buffer("halves", head.weight.detach().bfloat16())

    def forward(self, hidden):
        return F.linear(hidden, self.halves.float())


def linear_head(weight):
    head = LinearLMHead(weight.shape[1], weight.shape[0]).to(weight.dtype)
    head.weight.data = weight
    return head


@pytest.fixture(params=["linear", "another"])
def head(request):
    torch.manual_seed(0)
    linear = LinearLMHead(HIDDEN, VOCAB)
    return linear if request.param == "linear" else Rounded(linear)


@pytest.fixture
def hidden():
    return torch.randn(23, HIDDEN, generator=torch.Generator().manual_seed(1))


def test_logits_of_some_pieces_are_columns_of_all(head, hidden):
    everything = head(hidden)
    assert everything.shape == (23, VOCAB) == (23, head.vocab_size)
    assert torch.equal(head.logits(hidden), everything)
    pieces = torch.tensor([5, 0, 36, 5])
    torch.testing.assert_close(head.logits(hidden[2:4], pieces=pieces), everything[2:4][:, pieces])


@pytest.mark.parametrize("chunk_size", [None, 5, 100])
def test_nll_of_labels(head, hidden, chunk_size):
    labels = torch.arange(23)
    labels[3] = IGNORED_LABEL
    found = head.nll(hidden, labels, chunk_size=chunk_size)
    expected = F.cross_entropy(head(hidden), labels, ignore_index=IGNORED_LABEL, reduction="none")
    assert found.shape == (23,) and not found.requires_grad
    torch.testing.assert_close(found, expected.detach())
    assert found[3] == 0
    assert head.nll(hidden[:0], labels[:0]).shape == (0,)


@pytest.mark.parametrize("chunk_size", [1, 4, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_next_piece_is_any_of_a_set(chunk_size, dtype):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(10, 6, generator=generator).to(dtype)
    weight = torch.randn(20, 6, generator=generator).to(dtype)
    head = linear_head(weight)
    members = torch.rand(20, generator=generator) < 0.3
    assert 0 < members.sum() < 20
    found = head.set_nll(hidden, members, chunk_size=chunk_size)
    odds = F.softmax((hidden @ weight.T).double(), dim=-1)
    torch.testing.assert_close(found.double(), -odds[:, members].sum(dim=1).log(), atol=1e-5, rtol=1e-5)
    assert found.dtype == torch.float32
    everything = head.set_nll(hidden, torch.ones(20, dtype=torch.bool))
    assert everything.abs().max() < 1e-5 and everything.min() >= 0
    assert head.set_nll(hidden[:0], members).shape == (0,)


def test_a_set_without_hope_is_finite():
    """The sum of probabilities would underflow."""
    head = linear_head(torch.tensor([[0.0], [500.0]]))
    found = head.set_nll(torch.tensor([[1.0]]), torch.tensor([True, False]))
    assert found.item() == pytest.approx(500)


def test_a_set_by_a_head_that_has_nothing_but_logits(head, hidden):
    members = torch.arange(VOCAB) % 3 == 0
    expected = -head(hidden).softmax(dim=1)[:, members].sum(dim=1).log()
    torch.testing.assert_close(head.set_nll(hidden, members, chunk_size=5), expected.detach())


def test_half_precision_is_summed_in_float32(hidden):
    head = LinearLMHead(HIDDEN, VOCAB).bfloat16()
    found = head.nll(hidden.bfloat16(), torch.arange(23))
    expected = F.cross_entropy(head(hidden.bfloat16()).float(), torch.arange(23), reduction="none")
    assert found.dtype == head.logits(hidden.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(found, expected.detach())


def test_only_the_linear_head_learns(hidden):
    head = LinearLMHead(HIDDEN, VOCAB)
    labels = torch.arange(23)
    loss = head.loss(hidden, labels)
    torch.testing.assert_close(loss, F.cross_entropy(head(hidden), labels))
    loss.backward()
    assert head.weight.grad.abs().sum() > 0
    with pytest.raises(NotImplementedError, match="Rounded is for prediction only"):
        Rounded(head).loss(hidden, labels)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_takes_another_head(tied):
    config = BloomConfig(
        vocab_size=97, hidden_size=24, n_layer=2, n_head=3, initializer_range=0.5, tie_word_embeddings=tied
    )
    torch.manual_seed(0)
    model = BloomForCausalLM(config).eval()
    ids = torch.tensor([[3, 5, 8, 13]])
    before = model(ids).logits
    model.lm_head = Rounded(model.lm_head)
    model.tie_weights()
    torch.testing.assert_close(model(ids).logits, before, rtol=0.02, atol=0.05)
    assert not torch.equal(model(ids).logits, before)
    assert model.generate(ids, max_new_tokens=4, eos_token_id=None).shape == (1, 8)
