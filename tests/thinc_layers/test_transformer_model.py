import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers.data_classes import FullTransformerBatch, TransformerData
from spacy_transformers.layers import trfs2arrays
from thinc.api import Ragged, chain, reduce_mean
from transformers.file_utils import ModelOutput

from spacy_bloom.errors import ConfigError
from spacy_bloom.thinc_layers.architectures import create_transformer_model
from spacy_bloom.thinc_layers.pieces.windows import cut_docs
from spacy_bloom.thinc_layers.transformer_data import BloomTransformerBatch
from spacy_bloom.thinc_layers.transformer_model import bloom_shim

VOCAB = Vocab()
WORDS = ["The", "river", "was", "high", "今天天气很好", "القطار", "किताब", "café", "👩🏽\u200d🚀"]
WORDS += ["</s>", "\n", "3.5%", "pão"]


def make_docs(lengths, seed=0):
    draw = numpy.random.default_rng(seed)
    return [Doc(VOCAB, words=[WORDS[i] for i in draw.integers(len(WORDS), size=n)]) for n in lengths]


def states(data):
    """Last hidden states of one Doc. Shape (pieces, hidden_size)."""
    return data.model_output.last_hidden_state[0]


def plain(module, ids):
    """The padded model on one row, the slow and obvious way."""
    with torch.no_grad():
        return module.eval()(torch.tensor(ids)[None]).last_hidden_state[0].numpy()


def slow_windows(module, ids, window, context):
    """Window by window, each alone, keeping what no window before has seen."""
    rows, done = [], 0
    while done < len(ids):
        start = max(done - context, 0) if done else 0
        end = min(start + window, len(ids))
        rows.append(plain(module, ids[start:end])[done - start :])
        done = end
    return numpy.concatenate(rows)


@pytest.fixture
def model(make_model):
    return make_model(window=16, context=5)


def test_a_doc_shorter_than_the_window_is_what_the_plain_model_says(make_model):
    model = make_model(window=512)
    module, tokenizer = bloom_shim(model).module, bloom_shim(model).tokenizer
    for doc in make_docs([1, 5, 20]):
        ids = cut_docs(tokenizer, [doc])[0].ids
        assert len(ids) < 512
        numpy.testing.assert_allclose(states(model.predict([doc]).doc_data[0]), plain(module, ids), atol=1e-5)


@pytest.mark.parametrize("window, context", [(16, 5), (16, 0), (7, 6), (1, 0), (2, 1)])
def test_a_long_doc_is_what_a_window_by_window_loop_says(make_model, window, context):
    model = make_model(window=window, context=context)
    module, tokenizer = bloom_shim(model).module, bloom_shim(model).tokenizer
    doc = make_docs([40])[0]
    ids = cut_docs(tokenizer, [doc])[0].ids
    assert len(ids) > 3 * window
    found = states(model.predict([doc]).doc_data[0])
    numpy.testing.assert_allclose(found, slow_windows(module, ids, window, context), atol=1e-5)
    if context < window - 1 and window < 16:
        assert numpy.abs(found - plain(module, ids)).max() > 1e-3  # the windows do make a difference


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(8)),
    batch_size=st.integers(1, 8),
    max_pieces=st.sampled_from([1, 17, 64, 4096]),
    is_train=st.booleans(),
)
def test_vectors_do_not_depend_on_the_batch(model, order, batch_size, max_pieces, is_train):
    docs = make_docs([3, 0, 40, 1, 12, 7, 0, 25], seed=1)
    docs[3] = Doc(VOCAB, words=[" \n "])
    model.attrs["max_batch_items"] = 4096
    alone = [model.predict([doc]).doc_data[0] for doc in docs]
    model.attrs["max_batch_items"] = max_pieces
    for start in range(0, len(docs), batch_size):
        indices = order[start : start + batch_size]
        output, _ = model([docs[i] for i in indices], is_train)
        assert len(output.doc_data) == len(indices)
        for i, data in zip(indices, output.doc_data, strict=True):
            assert data.align.lengths.tolist() == alone[i].align.lengths.tolist()
            if len(docs[i]):
                numpy.testing.assert_allclose(states(data), states(alone[i]), atol=1e-5)
            else:
                assert not data.model_output and not len(data.wordpieces)


@pytest.mark.parametrize("is_train", [False, True])
def test_vectors_do_not_depend_on_the_threads(model, is_train):
    docs, before = make_docs([3, 0, 60, 12], seed=2), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append([states(d) for d in model(docs, is_train)[0].doc_data if d.model_output])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        numpy.testing.assert_allclose(one, two, atol=1e-5)


def both_sides(module, ids, layers):
    """What the model says of one sequence, with its last layers bidirectional."""
    ids = torch.as_tensor(ids)
    return module.eval().encode_packed(ids, [len(ids)], bidirectional_layers=layers)


def slow_windows_of_both_sides(ids, window, context):
    """Start, end, first and last piece to keep of each window, by hand: in steps of what is neither context."""
    done = 0
    while done < len(ids):
        start = max(done - context, 0)
        end = min(start + window, len(ids))
        last = len(ids) if end == len(ids) else end - context
        yield start, end, done, last
        done = last


@pytest.mark.parametrize("layers", [None, 1])
@pytest.mark.parametrize("window, context", [(512, 128), (16, 5), (16, 0), (7, 3)])
def test_bidirectional_windows_have_context_on_both_sides(make_model, window, context, layers):
    options = {"attention": "bidirectional", "bidirectional_layers": layers}
    model = make_model(window=window, context=context, **options)
    module, docs = bloom_shim(model).module, make_docs([40, 0, 3])
    n_layers = module.config.n_layer if layers is None else layers
    output, backprop = model.begin_update(docs)
    module.zero_grad(set_to_none=True)
    data = [d for d in output.doc_data if d.model_output]
    factors = [numpy.random.default_rng(1).normal(size=states(d).shape).astype("f") for d in data]
    backprop(output.unsplit_by_doc([[factor[None]] for factor in factors]))
    found = gradients(module)
    module.zero_grad(set_to_none=True)
    for doc_data, predicted, factor in zip(
        data, [d for d in model.predict(docs).doc_data if d.model_output], factors, strict=True
    ):
        ids = doc_data.wordpieces.input_ids[0]
        rows = [
            both_sides(module, ids[start:end], n_layers)[keep - start : last - start]
            for start, end, keep, last in slow_windows_of_both_sides(ids, window, context)
        ]
        expected = torch.cat(rows)
        (expected * torch.from_numpy(factor)).sum().backward()
        numpy.testing.assert_allclose(states(doc_data), expected.detach(), atol=1e-5)
        numpy.testing.assert_allclose(states(predicted), expected.detach(), atol=1e-5)
        assert numpy.abs(states(predicted) - plain(module, ids)).max() > 1e-2
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(
            found[name],
            gradient,
            atol=1e-5 * max(gradient.abs().max().item(), 1.0),
            rtol=1e-4,
            msg=name,
        )


def test_windows_of_both_sides_need_more_room(checkpoint):
    create_transformer_model(checkpoint, window=8, context=4)
    with pytest.raises(ConfigError, match="context < window / 2"):
        create_transformer_model(checkpoint, window=8, context=4, attention="bidirectional")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"attention": "both"}, "one of causal, bidirectional, got 'both'"),
        ({"bidirectional_layers": 1}, "got 1 with attention = 'causal'"),
        ({"attention": "bidirectional", "bidirectional_layers": 0}, "1 or more"),
        ({"attention": "bidirectional", "bidirectional_layers": 99}, "at most 2"),
    ],
)
def test_settings_of_attention(checkpoint, options, message):
    with pytest.raises(ConfigError, match=message):
        create_transformer_model(checkpoint, **options).initialize()


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def slow_gradients(module, ids_by_doc, factors, window, context):
    """Autograd on the padded model, one window at a time, of the sum of vectors times factors."""
    module.train().zero_grad(set_to_none=True)
    for ids, factor in zip(ids_by_doc, factors, strict=True):
        done = 0
        while done < len(ids):
            start = max(done - context, 0) if done else 0
            end = min(start + window, len(ids))
            hidden = module(torch.tensor(ids[start:end])[None]).last_hidden_state[0]
            (hidden[done - start :] * torch.from_numpy(factor[done:end])).sum().backward()
            done = end
    return gradients(module)


@pytest.mark.parametrize("window, context", [(512, 128), (16, 5), (6, 0)])
@pytest.mark.parametrize("lengths", [[4], [3, 0, 40, 1], [0, 0, 9]])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_is_autograds(make_model, window, context, lengths, checkpointing):
    model = make_model(window=window, context=context, gradient_checkpointing=checkpointing)
    module, docs = bloom_shim(model).module, make_docs(lengths, seed=3)
    output, backprop = model.begin_update(docs)
    draw = numpy.random.default_rng(0)
    factors = [
        draw.normal(size=(len(d.wordpieces.strings[0]), 32)).astype("f")
        for d in output.doc_data
        if d.model_output
    ]
    module.zero_grad(set_to_none=True)
    assert backprop(output.unsplit_by_doc([[factor[None]] for factor in factors])) is docs
    found = gradients(module)
    ids = [d.wordpieces.input_ids[0] for d in output.doc_data if d.model_output]
    expected = slow_gradients(module, ids, factors, window, context)
    assert found.keys() == expected.keys() == dict(module.named_parameters()).keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        assert scale > 0 or "key_value.bias" in name or name == "word_embeddings.weight"
        torch.testing.assert_close(found[name], gradient, atol=1e-5 * max(scale, 1.0), rtol=1e-4, msg=name)


def test_the_gradient_of_token_vectors_is_autograds(make_model):
    """Through the alignment and the pooling: the mean of a token's pieces, wherever they are."""
    model = make_model(window=16, context=5)
    pooling = trfs2arrays(reduce_mean(), 0.5)
    docs = make_docs([3, 0, 40], seed=4)
    output, backprop = model.begin_update(docs)
    vectors, backprop_vectors = pooling.begin_update(output.doc_data)
    assert [len(v) for v in vectors] == [3, 0, 40]
    module = bloom_shim(model).module
    module.zero_grad(set_to_none=True)
    d_docs = backprop_vectors([numpy.ones_like(v) for v in vectors])
    backprop(output.unsplit_by_doc([list(d.tensors) for d in d_docs]))
    found = gradients(module)
    factors, ids = [], []
    for data in (output.doc_data[0], output.doc_data[2]):
        factor = numpy.zeros((len(data.wordpieces.strings[0]), 32), dtype="f")
        place = 0
        for n in data.align.lengths:
            for piece in data.align.dataXd[place : place + n]:
                factor[piece] += 0.5 / n
            place += n
        factors.append(factor)
        ids.append(data.wordpieces.input_ids[0])
    for name, gradient in slow_gradients(module, ids, factors, 16, 5).items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_a_batch_of_empty_docs_has_no_gradient(model):
    docs = [Doc(VOCAB), Doc(VOCAB)]
    output, backprop = model.begin_update(docs)
    bloom_shim(model).module.zero_grad(set_to_none=True)
    backprop(output.unsplit_by_doc([]))
    assert not gradients(bloom_shim(model).module)
    assert [bool(d.model_output) for d in output.doc_data] == [False, False]


def test_one_doc_does_not_keep_the_batch_in_memory(model):
    data = model.predict(make_docs([1, 200])).doc_data[0]
    owner = data.model_output.last_hidden_state
    while isinstance(owner, numpy.ndarray) and owner.base is not None:
        owner = owner.base
    n_bytes = owner.untyped_storage().nbytes() if isinstance(owner, torch.Tensor) else owner.nbytes
    assert n_bytes == len(data.wordpieces.strings[0]) * 32 * 4


def test_the_batch_looks_like_spacy_transformers(model):
    """All that the base class offers is there: padded arrays, alignment into them, and splitting again."""
    docs = make_docs([3, 0, 12, 1], seed=5)
    batch = model.predict(docs)
    assert isinstance(batch, FullTransformerBatch)
    filled = [d for d in batch.doc_data if d.model_output]
    longest = max(len(d.wordpieces.strings[0]) for d in filled)
    assert batch.model_output.last_hidden_state.shape == (3, longest, 32)
    assert batch.wordpieces.input_ids.shape == batch.wordpieces.attention_mask.shape == (3, longest)
    assert batch.wordpieces.attention_mask.sum(axis=1).tolist() == batch.wordpieces.lengths
    assert [len(spans) for spans in batch.spans] == [1, 0, 1, 1]
    assert len(batch.align.lengths) == 16
    rows = batch.model_output.last_hidden_state.reshape(-1, 32)
    own = numpy.concatenate([states(d)[d.align.dataXd] for d in filled])
    numpy.testing.assert_array_equal(rows[batch.align.dataXd], own)
    plain_batch = FullTransformerBatch(
        spans=batch.spans,
        wordpieces=batch.wordpieces,
        model_output=ModelOutput(last_hidden_state=torch.from_numpy(batch.model_output.last_hidden_state)),
        align=batch.align,
    )
    for mine, theirs in zip(batch.doc_data, plain_batch.split_by_doc(), strict=True):
        if mine.model_output:
            n = len(mine.wordpieces.strings[0])
            numpy.testing.assert_array_equal(mine.tensors[0], theirs.tensors[0][:, :n])
            assert mine.align.dataXd.tolist() == theirs.align.dataXd.tolist()
            assert mine.tokens["input_ids"].tolist()[0] == theirs.tokens["input_ids"].tolist()[0][:n]


def test_a_batch_of_nothing():
    batch = BloomTransformerBatch([], [])
    assert batch.wordpieces.input_ids.shape == (0, 0)
    assert batch.model_output == ModelOutput() and batch.spans == [] and batch.tensors == ()
    assert isinstance(batch.align, Ragged) and len(batch.align.lengths) == 0


def test_data_goes_through_bytes(model):
    data = model.predict(make_docs([3])).doc_data[0]
    again = TransformerData.empty().from_bytes(data.to_bytes())
    numpy.testing.assert_array_equal(again.tensors[0], data.tensors[0])
    assert again.align.dataXd.tolist() == data.align.dataXd.tolist()


@pytest.mark.parametrize("window, context", [(0, 0), (-1, 0), (8, 8), (8, 9), (8, -1)])
def test_windows_without_room_are_refused(checkpoint, window, context):
    with pytest.raises(ConfigError, match="context < window"):
        create_transformer_model(checkpoint, window=window, context=context)


def test_the_width_is_known_before_the_weights_are_loaded(checkpoint):
    model = create_transformer_model(checkpoint)
    assert bloom_shim(model).hidden_size() == 32
    assert not bloom_shim(model).loaded
    model.initialize()
    assert bloom_shim(model).loaded and model.get_dim("nO") == 32


def test_a_chain_can_be_copied_and_learns_apart(make_model):
    model = make_model()
    copied = chain(model, trfs2arrays(reduce_mean(), 1.0)).copy()
    one, two = bloom_shim(model), bloom_shim(copied.layers[0])
    assert one.id != two.id  # an optimizer knows weights by it
    with torch.no_grad():
        two.module.ln_f.bias.add_(1.0)
    assert not torch.equal(one.module.ln_f.bias, two.module.ln_f.bias)
