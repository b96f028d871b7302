import numpy
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers.data_classes import ModelOutput, TransformerData, WordpieceBatch
from thinc.api import NumpyOps, registry

from spacy_bloom.errors import CheckpointError, ConfigError, ListenerError
from spacy_bloom.thinc_layers.architectures import create_tok2vec_transformer
from spacy_bloom.thinc_layers.output_layer import find_head, has_output, load_output, set_output
from spacy_bloom.thinc_layers.text_classifier import create_text_classifier, linear_without_bias, pool_pieces

POOLINGS = {"first": "reduce_first.v1", "last": "reduce_last.v1", "mean": "reduce_mean.v1"}
LENGTHS = [3, 0, 1, 5]
SIZE = 4


def layer(pooling):
    return registry.layers.get(POOLINGS[pooling])()


def make_data(lengths=LENGTHS, seed=0):
    """Output of a transformer for Docs of some pieces."""
    draw = numpy.random.default_rng(seed)
    result = []
    for length in lengths:
        data = TransformerData.zeros(length, SIZE, xp=numpy) if length else TransformerData.empty()
        if length:
            data.model_output["last_hidden_state"] = draw.normal(size=(1, length, SIZE)).astype("f")
        result.append(data)
    return result


def torch_pooled(rows, pooling):
    pool = {"first": lambda x: x[0], "last": lambda x: x[-1], "mean": lambda x: x.mean(dim=0)}[pooling]
    size = rows[0].shape[1]
    return torch.stack([pool(row) if len(row) else torch.zeros(size) for row in rows])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_and_its_gradient_are_those_of_torch(pooling):
    data = make_data()
    vectors, backprop = pool_pieces(layer(pooling), 0.5)(data, True)
    rows = [torch.zeros(0, SIZE) if not d.model_output else torch.tensor(d.tensors[0][0]) for d in data]
    for row in rows:
        row.requires_grad_()
    expected = torch_pooled(rows, pooling)
    assert vectors.shape == (len(LENGTHS), SIZE) and not vectors[1].any()
    numpy.testing.assert_allclose(vectors, expected.detach().numpy(), atol=1e-6)
    d_vectors = numpy.random.default_rng(1).normal(size=vectors.shape).astype("f")
    expected.backward(torch.tensor(d_vectors))
    gradients = backprop(d_vectors)
    wanted = [row.grad for row in rows if len(row)]
    assert len(gradients) == len(wanted)  # none for Docs without pieces, as bloom_transformer expects
    for gradient, grad in zip(gradients, wanted, strict=True):
        assert gradient.tensors[0].shape == (1, *grad.shape)
        numpy.testing.assert_allclose(gradient.tensors[0][0], 0.5 * grad.numpy(), atol=1e-6)


def test_pieces_in_several_rows_are_an_error():
    """Such as spacy-transformers' own models give: the last piece would be padding."""
    wordpieces = WordpieceBatch.zeros([3, 3], xp=numpy)
    hidden = numpy.zeros((2, 3, SIZE), dtype="f")
    rows = TransformerData(wordpieces, ModelOutput(last_hidden_state=hidden), TransformerData.empty().align)
    padded = make_data([3])[0]
    padded.wordpieces.attention_mask[0, -1] = 0
    for data in (rows, padded):
        with pytest.raises(ListenerError, match="one row without padding"):
            pool_pieces(layer("last"), 1.0).predict([data])


def test_linear_without_bias():
    model = linear_without_bias(3)
    X = numpy.random.default_rng(0).normal(size=(5, SIZE)).astype("f")
    model.initialize(X=X)
    Y, backprop = model(X, True)
    twin = torch.nn.Linear(SIZE, 3, bias=False)
    twin.weight.data = torch.tensor(model.get_param("W"))
    inputs = torch.tensor(X, requires_grad=True)
    expected = twin(inputs)
    dY = numpy.random.default_rng(1).normal(size=Y.shape).astype("f")
    expected.backward(torch.tensor(dY))
    assert Y.shape == (5, 3)
    numpy.testing.assert_allclose(Y, expected.detach().numpy(), atol=1e-6)
    numpy.testing.assert_allclose(backprop(dY), inputs.grad.numpy(), atol=1e-6)
    numpy.testing.assert_allclose(model.get_grad("W"), twin.weight.grad.numpy(), atol=1e-5)


# The architecture


VOCAB = Vocab()
DOCS = [Doc(VOCAB, words=words.split()) for words in ("Ana lives in Lima", "", "café", "a b c " * 30)]


@pytest.fixture
def make(checkpoint):
    """A function that makes a classifier with a transformer of its own, initialised."""

    def make_classifier(pooling="last", bias=True, window=24, **options):
        tok2vec = create_tok2vec_transformer(layer(pooling), checkpoint, window=window, context=8, **options)
        model = create_text_classifier(tok2vec, bias=bias)
        set_output(model, 3)
        model.initialize(X=DOCS[:1])
        return model

    return make_classifier


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_logits_are_the_linear_layer_of_the_pooled_pieces(make, pooling, bias):
    """Of all windows of a Doc that is longer than one."""
    model = make(pooling, bias)
    output = model.get_ref("output_layer")
    assert set(output.param_names) == ({"W", "b"} if bias else {"W"})
    if bias:
        output.set_param("b", NumpyOps().asarray1f([1.0, 2.0, 3.0]))
    pieces = [data.tensors[0][0] if data.model_output else [] for data in model.layers[0].predict(DOCS)]
    assert len(pieces[-1]) > 3 * 24
    pooled = torch_pooled([torch.tensor(p) for p in pieces], pooling).numpy()
    expected = pooled @ output.get_param("W").T + (output.get_param("b") if bias else 0)
    assert expected.shape == (4, 3)
    numpy.testing.assert_allclose(model.predict(DOCS), expected, atol=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_gradient_reaches_the_transformer(make, pooling):
    """A numeric derivative along the gradient of the embeddings, and its whole length."""
    model = make(pooling)
    shim = model.layers[0].layers[0].shims[0]
    logits, backprop = model.begin_update(DOCS)
    d_logits = numpy.random.default_rng(0).normal(size=logits.shape).astype("f")
    backprop(d_logits)
    weight = shim.module.h[0].mlp.dense_h_to_4h.weight
    direction = weight.grad / weight.grad.norm()
    values = []
    for step in (1e-2, -1e-2):
        with torch.no_grad():
            weight += step * direction
            values.append(float((model.predict(DOCS) * d_logits).sum()))
            weight -= step * direction
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(weight.grad.norm().item(), rel=0.02)


def test_another_tok2vec_is_an_error(make):
    tok2vec = registry.layers.get("Linear.v1")()
    with pytest.raises(ConfigError, match=r"TransformerListener\.v1"):
        create_text_classifier(tok2vec)


# Weights from a checkpoint


def test_a_head_of_another_size(checkpoint, make, tmp_path):
    with pytest.raises(CheckpointError, match=r"BloomForSequenceClassification.*score\.weight.*heads"):
        load_output(make(), *find_head(checkpoint), head="score", n_outputs=2, bias=False)
    _, config = find_head(checkpoint)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}  # what a file without labels means
    model = create_text_classifier(create_tok2vec_transformer(layer("last"), checkpoint))
    assert not has_output(model) and has_output(make())
