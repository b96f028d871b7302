import pytest
import spacy
import torch
from thinc.api import Model, NumpyOps

from spacy_bloom.cli.train.gradient_sums import BUCKET, ThincWeight, TorchWeight, _buckets, weights_of
from spacy_bloom.errors import InputError


def test_gradients_of_ranks_are_added_up(report):
    codes, _, found = report["sums"]
    assert codes == [0, 0]
    for rank in found:
        both, half, nobody, sparse, thinc, refused = rank
        assert sparse == {"rows": [0, 2, 3], "values": [1.0, 1.0, 0.0, 0.0, 5.0, 5.0]}
        assert both == [3.0] * 6 and half == [2.0] * 6 and nobody is None and thinc == [3.0, 4.0]
        assert refused.startswith("InputError: The ranks have read different batches")


def test_weights_of_a_pipeline_are_found_once_each(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe(
        "bloom_transformer",
        config={"model": {"@architectures": "spacy-bloom.TransformerModel.v2", "name": checkpoint}},
    )
    nlp.add_pipe("bloom_token_classifier", config={"target": "tag"}).add_label("A")
    nlp.initialize()
    found = weights_of(nlp)
    decoder = dict(nlp.get_pipe("bloom_transformer").model.shims[0].module.named_parameters())
    assert {id(w.parameter) for w in found if isinstance(w, TorchWeight)} >= {id(p) for p in decoder.values()}
    assert len({id(w.parameter) for w in found if isinstance(w, TorchWeight)}) == sum(
        isinstance(w, TorchWeight) for w in found
    )
    without = weights_of(nlp, exclude=["bloom_transformer"])
    assert 0 < len(without) == len(found) - len(decoder)


def test_gradients_that_are_anothers_are_forgotten():
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    for parameter in layer.parameters():
        TorchWeight(parameter).forget()
        assert parameter.grad is None
    node = Model("node", lambda *a: a, params={"b": NumpyOps().alloc1f(2)})
    weight = ThincWeight(node, "b")
    weight.forget()
    assert weight.grad is None
    weight.put(torch.ones(2))
    weight.forget()
    assert weight.grad.tolist() == [0.0, 0.0]


def test_buckets_hold_no_more_than_is_sent_at_once():
    sizes = (BUCKET - 1, 1, 1, BUCKET + 5, 3)
    weights = [TorchWeight(torch.nn.Parameter(torch.empty(size, device="meta"))) for size in sizes]
    assert [[w.size for w in bucket] for bucket in _buckets(weights)] == [
        [BUCKET - 1, 1],
        [1],
        [BUCKET + 5],
        [3],
    ]


def test_weights_in_an_unknown_place_are_refused():
    class OtherShim:
        pass

    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("tagger")
    pipe.model.layers[0]._shims.append(OtherShim())
    with pytest.raises(InputError, match="OtherShim.*Train in one process"):
        weights_of(nlp)
