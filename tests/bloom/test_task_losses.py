import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom.bloom.task_losses import answer_loss, next_piece_loss
from spacy_bloom.errors import InputError

CONFIG = dict(vocab_size=11, hidden_size=24, n_layer=1, n_head=3, num_labels=4)
LOGITS = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 2, 3, 4, -100], [5, 6, 7, -100, -100]])
LABELS, POOLED = LOGITS[..., :4], LOGITS[:, 0, :4]
POSITIONS = dict(start_positions=torch.tensor([1, 9]), end_positions=torch.tensor([[2], [4]]))


def both(name, **changes):
    for library in (transformers, spacy_bloom):
        yield getattr(library, name)(library.BloomConfig(**{**CONFIG, **changes}))


@pytest.mark.parametrize("name, options", [
    ("BloomModel", dict(logits=LOGITS, labels=IDS, vocab_size=11)),
    ("BloomForCausalLM", dict(logits=LOGITS, labels=IDS, vocab_size=11)),
    ("BloomForCausalLM", dict(logits=LOGITS, labels=IDS, vocab_size=11, num_items_in_batch=3)),
    ("BloomForCausalLM", dict(logits=LOGITS, labels=IDS, vocab_size=11, ignore_index=7)),
    ("BloomForCausalLM", dict(logits=LOGITS, labels=None, vocab_size=11, shift_labels=IDS)),
    ("BloomForTokenClassification", dict(logits=LABELS, labels=IDS.clamp(max=3))),
    ("BloomForTokenClassification", dict(logits=LABELS, labels=IDS.clamp(max=3), num_items_in_batch=torch.tensor(2))),
    ("BloomForSequenceClassification", dict(labels=torch.tensor([3, 0]), pooled_logits=POOLED)),
    ("BloomForSequenceClassification", dict(labels=torch.eye(4)[:2], pooled_logits=POOLED)),
    ("BloomForQuestionAnswering", dict(start_logits=LOGITS[..., 0], end_logits=LOGITS[..., 1], **POSITIONS)),
])  # fmt: skip
def test_loss_functions_are_those_of_transformers(name, options):
    if "ignore_index" in options:
        options = {**options, "labels": IDS.clamp(min=0)}
    losses, problems = [], []
    for model in both(name):
        further = {"config": model.config} if "Classification" in name else {}
        losses.append(model.loss_function(**options, **further))
        problems.append(model.config.problem_type)
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-6)
    assert problems[0] == problems[1]


def test_regression():
    one = [
        m.loss_function(torch.tensor([1.0, 2.0]), POOLED[:, :1], m.config)
        for m in both("BloomForSequenceClassification", num_labels=1)
    ]
    torch.testing.assert_close(one[1], one[0])


def test_another_may_be_set_for_the_language_model():
    for model in both("BloomForCausalLM"):
        model.loss_function = lambda logits, labels, **options: logits.sum() * 0 + 7
        assert model(IDS.clamp(min=0), labels=IDS).loss == 7


def test_nothing_to_compare_with():
    assert answer_loss(LOGITS[..., 0], LOGITS[..., 1], None, torch.tensor([1, 1])) is None
    with pytest.raises(InputError, match="labels or shift_labels"):
        next_piece_loss(LOGITS, None)
