import pytest
import torch
from torch.nn import functional as F

from spacy_bloom import (
    BloomConfig,
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from spacy_bloom.errors import InputError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, num_labels=5)


def draw(highest, *shape, seed=0):
    return torch.randint(highest, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def language_model(randomize):
    return randomize(BloomForCausalLM(CONFIG)).eval()


@pytest.fixture(scope="module")
def classifier(randomize):
    return randomize(BloomForTokenClassification(CONFIG)).eval()


@pytest.fixture(scope="module")
def sequence_classifier(randomize):
    return randomize(BloomForSequenceClassification(CONFIG)).eval()


@pytest.fixture(scope="module")
def answerer(randomize):
    return randomize(BloomForQuestionAnswering(CONFIG)).eval()


def test_shapes(language_model, classifier, sequence_classifier, answerer):
    ids = draw(97, 2, 7)
    output = language_model(ids, labels=ids, output_hidden_states=True, output_attentions=True)
    assert output.logits.shape == (2, 7, 97) and output.loss.shape == ()
    assert (
        len(output.hidden_states) == 3 and len(output.attentions) == 2 and output.past_key_values.length == 7
    )
    output = classifier(ids, labels=draw(5, 2, 7), output_hidden_states=True, output_attentions=True)
    assert output.logits.shape == (2, 7, 5) and output.loss.shape == ()
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2
    output = sequence_classifier(ids, labels=draw(5, 2), output_hidden_states=True, output_attentions=True)
    assert output.logits.shape == (2, 5) and output.loss.shape == ()
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2
    positions = dict(start_positions=draw(7, 2), end_positions=draw(7, 2, 1))
    output = answerer(ids, **positions, output_hidden_states=True, output_attentions=True)
    assert output.start_logits.shape == output.end_logits.shape == (2, 7) and output.loss.shape == ()
    assert len(output.hidden_states) == 3 and len(output.attentions) == 2


def test_a_sequence_is_classified_by_its_last_real_piece(sequence_classifier):
    ids = draw(97, 4, 7)
    mask = torch.tensor([[1] * 7, [0] * 3 + [1] * 4, [1] * 4 + [0] * 3, [0] * 7])
    logits = sequence_classifier(ids, attention_mask=mask).logits
    alone = [ids[:1], ids[1:2, 3:], ids[2:3, :4]]
    expected = torch.cat([sequence_classifier(row).logits for row in alone])
    torch.testing.assert_close(logits[:3], expected)
    assert torch.isfinite(logits[3]).all()


def test_the_language_models_loss_is_of_the_next_piece(language_model):
    ids = draw(97, 2, 7)
    labels = ids.clone()
    labels[0, :4] = -100
    output = language_model(ids, labels=labels)
    picked = F.log_softmax(output.logits[:, :-1], -1).gather(-1, ids[:, 1:, None])[..., 0]
    expected = -picked[labels[:, 1:] != -100].mean()
    torch.testing.assert_close(output.loss, expected)
    assert language_model(ids).loss is None


def test_the_classifiers_loss_ignores_labels(classifier):
    labels = draw(5, 2, 7)
    labels[1, 2:] = -100
    output = classifier(draw(97, 2, 7), labels=labels)
    picked = F.log_softmax(output.logits, -1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    torch.testing.assert_close(output.loss, -picked[labels != -100].mean())


def test_a_sequence_in_two_calls(sequence_classifier):
    ids = draw(97, 2, 7)
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    cache = sequence_classifier(ids[:, :4], attention_mask=mask[:, :4]).past_key_values
    logits = sequence_classifier(ids[:, 4:], attention_mask=mask, past_key_values=cache).logits
    torch.testing.assert_close(logits, sequence_classifier(ids, attention_mask=mask).logits)


@pytest.mark.parametrize("problem_type, labels, expected", [
    (None, torch.tensor([[1, 2]]), r"single_label_classification as ids of shape \(2,\)"),
    ("single_label_classification", torch.tensor([1.0, 2.0]), "got torch.float32"),
    ("multi_label_classification", torch.zeros(2), r"numbers of shape \(2, 5\)"),
    ("regression", torch.zeros(5, 2), r"numbers of shape \(2, 5\)"),
])  # fmt: skip
def test_labels_that_do_not_fit_a_sequence_classifier(problem_type, labels, expected):
    model = BloomForSequenceClassification(CONFIG.replace(problem_type=problem_type))
    with pytest.raises(InputError, match=expected):
        model(draw(97, 2, 7), labels=labels)


def test_answers_beyond_the_pieces_are_not_learned(answerer):
    ids, start, end = draw(97, 2, 7), torch.tensor([2, 9]), torch.tensor([3, 7])
    output = answerer(ids, start_positions=start, end_positions=end)
    logits = torch.stack((output.start_logits, output.end_logits))[:, 0]  # (start and end, length)
    torch.testing.assert_close(output.loss, F.cross_entropy(logits, torch.tensor([2, 3])))
    assert answerer(ids).loss is None


@pytest.mark.parametrize("positions", [
    dict(start_positions=torch.tensor([1, 2])),
    dict(start_positions=torch.tensor([1.0, 2.0]), end_positions=torch.tensor([1, 2])),
    dict(start_positions=torch.tensor([1, 2]), end_positions=torch.tensor([[1, 2]])),
])  # fmt: skip
def test_positions_that_do_not_fit(answerer, positions):
    with pytest.raises(InputError, match="positions"):
        answerer(draw(97, 2, 7), **positions)


def test_a_tied_head_is_the_embedding():
    model = BloomForCausalLM(CONFIG)
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    model(draw(97, 1, 5), labels=draw(97, 1, 5)).loss.backward()
    assert model.lm_head.weight.grad is model.transformer.word_embeddings.weight.grad
    untied = BloomForCausalLM(CONFIG.replace(tie_word_embeddings=False))
    assert not torch.equal(untied.lm_head.weight, untied.transformer.word_embeddings.weight)


@pytest.mark.parametrize(
    "classifier_dropout, hidden_dropout, changes", [(0.5, 0.0, True), (None, 0.5, True), (0.0, 0.0, False)]
)
def test_dropout_before_the_classifier(classifier_dropout, hidden_dropout, changes):
    config = CONFIG.replace(classifier_dropout=classifier_dropout, hidden_dropout=hidden_dropout)
    model = BloomForTokenClassification(config).eval()
    assert model.dropout.p == (hidden_dropout if classifier_dropout is None else classifier_dropout)
    ids = draw(97, 1, 20)
    assert torch.equal(model(ids).logits, model(ids).logits)
    model.dropout.train()
    torch.manual_seed(0)
    assert torch.equal(model(ids).logits, model(ids).logits) != changes


@pytest.mark.parametrize("shape", [(2, 6), (2, 8), (14,), (2, 7, 1)])
def test_labels_of_another_shape(language_model, classifier, shape):
    for model in (language_model, classifier):
        with pytest.raises(InputError, match=r"labels of shape \(2, 7\)"):
            model(draw(97, 2, 7), labels=draw(5, *shape))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_loss_is_float32_in_half_precision(dtype):
    model = BloomForCausalLM(CONFIG).to(dtype)
    output = model(draw(97, 1, 5), labels=draw(97, 1, 5))
    assert output.logits.dtype == dtype and output.loss.dtype == torch.float32
