"""Whoever takes part in an update, everybody sees the same weights after it."""

import copy
import pickle

import numpy
import pytest
import torch
from thinc.api import Adam

from spacy_bloom.errors import ListenerError
from spacy_bloom.pipeline.listening.shared_gradient import SharedGradient

NAMES = ["tagger", "bloom_token_classifier"]
TEXT = "Ana lives in Lima near Rio ."


@pytest.fixture(params=["ours", "stock"])
def nlp(request, make_nlp, make_examples):
    """Two listeners whose output layers give gradients."""
    nlp = make_nlp(*NAMES, kind=request.param, window=10, context=3)
    optimizer = Adam(0.01)
    for _ in range(2):
        nlp.update(
            make_examples(nlp), sgd=optimizer, exclude=["bloom_transformer"], annotates=["bloom_transformer"]
        )
    return nlp


def vectors(nlp):
    pipe = nlp.get_pipe("bloom_transformer")
    return pipe.predict([nlp.make_doc(TEXT)]).doc_data[0].tensors[0]


def raw(nlp):
    """The weights as they stand, seen by nobody: reading through the shim would settle what is pending."""
    module = nlp.get_pipe("bloom_transformer").model.shims[0]._model
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def update(nlp, examples, way):
    """One step in which the token classifier has no part."""
    optimizer = Adam(0.01)
    if way == "disabled":
        with nlp.select_pipes(disable=[NAMES[1]]):
            nlp.update(examples, sgd=optimizer)
    elif way == "enabled":
        with nlp.select_pipes(enable=["bloom_transformer", NAMES[0]]):
            nlp.update(examples, sgd=optimizer)
    elif way == "excluded":
        nlp.update(examples, sgd=optimizer, exclude=[NAMES[1]])
    else:  # as the training loop does with frozen components
        nlp.update(examples, sgd=False, exclude=[NAMES[1]])
        for name, pipe in nlp.pipeline:
            if name != NAMES[1]:
                pipe.finish_update(optimizer)


@pytest.mark.parametrize("way", ["disabled", "enabled", "excluded", "frozen"])
def test_the_last_step_is_seen_by_all(nlp, make_examples, way, tmp_path):
    before = vectors(nlp)
    update(nlp, make_examples(nlp), way)
    copies = {
        "bytes": type(nlp).from_config(nlp.config).from_bytes(nlp.to_bytes()),
        "pickle": pickle.loads(pickle.dumps(nlp)),
        "copy": copy.deepcopy(nlp),
    }
    expected = vectors(nlp)
    assert numpy.abs(expected - before).max() > 1e-4
    nlp.to_disk(tmp_path)
    copies["disk"] = type(nlp).from_config(nlp.config).from_disk(tmp_path)
    for kind, copied in copies.items():
        numpy.testing.assert_allclose(vectors(copied), expected, atol=1e-6, err_msg=kind)


LOOKS = {
    "prediction": lambda nlp: vectors(nlp),
    "the weights": lambda nlp: nlp.get_pipe("bloom_transformer").model.shims[0].module,
    "their digest": lambda nlp: nlp.get_pipe("bloom_transformer").model.shims[0].digest,
    "bytes of the component": lambda nlp: nlp.get_pipe("bloom_transformer").to_bytes(),
    "a copy of the model": lambda nlp: nlp.get_pipe("bloom_transformer").model.copy(),
    "a pickled component": lambda nlp: pickle.dumps(nlp.get_pipe("bloom_transformer")),
    "averages": lambda nlp: nlp.use_params({(0, "none"): None}).__enter__(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_settles_what_was_given(nlp, make_examples, look):
    """`nlp.update(exclude=...)` does not say who is excluded: the step waits until somebody looks."""
    before = raw(nlp)
    nlp.update(make_examples(nlp), sgd=Adam(0.01), exclude=[NAMES[1]])
    assert same(before, raw(nlp))
    LOOKS[look](nlp)
    after = raw(nlp)
    assert not same(before, after)
    vectors(nlp), nlp.to_bytes()
    assert same(after, raw(nlp))


def test_a_disabled_listener_is_not_waited_for(nlp, make_examples):
    before = raw(nlp)
    with nlp.select_pipes(disable=[NAMES[1]]):
        nlp.update(make_examples(nlp), sgd=Adam(0.01))
        assert not same(before, raw(nlp))


def test_looking_before_anything_was_given_changes_nothing(nlp, make_examples):
    """In an update, before the listeners learn: a transformer that annotates too."""
    expected, other = copy.deepcopy(nlp), nlp
    expected.update(make_examples(expected), sgd=Adam(0.01))
    other.update(make_examples(other), sgd=Adam(0.01), annotates=["bloom_transformer"])
    assert same(raw(expected), raw(other))


def test_looking_in_the_middle_of_an_update_loses_no_gradient(nlp, make_examples):
    """The listener after it runs the transformer again, on weights that have not changed."""
    expected, other = copy.deepcopy(nlp), nlp
    found = []
    for pipeline, looks in ((expected, False), (other, True)):
        second = pipeline.get_pipe(NAMES[1])
        learn = second.update

        def update(examples, pipeline=pipeline, looks=looks, learn=learn, **options):
            if looks:
                vectors(pipeline)
            return learn(examples, **options)

        second.update = update
        pipeline.update(make_examples(pipeline), sgd=False)
        module = pipeline.get_pipe("bloom_transformer").model.shims[0].module
        found.append({name: p.grad for name, p in module.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-5, rtol=1e-4)


def test_a_batch_that_teaches_nobody_leaves_nothing_behind(nlp, make_examples):
    nlp.update(make_examples(nlp), sgd=Adam(0.01), exclude=NAMES)
    again = pickle.loads(pickle.dumps(nlp))
    assert nlp.get_pipe("bloom_transformer").model.shims[0].pending is None
    again.update(make_examples(again), sgd=Adam(0.01))


def test_a_copy_starts_without_a_batch(nlp, make_examples):
    nlp.update(make_examples(nlp), sgd=Adam(0.01), exclude=[NAMES[1]])
    gradient = nlp.get_pipe("bloom_transformer")._gradient
    copied = copy.deepcopy(gradient)
    assert isinstance(copied, SharedGradient) and copied._batch is None and gradient._batch is None


@pytest.mark.parametrize("name", NAMES)
def test_docs_that_were_learnt_from_can_be_predicted_alone(make_nlp, make_examples, name):
    """As `spacy debug model` does: with what the transformer says of them now."""
    nlp = make_nlp(*NAMES)
    examples = make_examples(nlp)
    for _ in range(3):
        for part in ("bloom_transformer", name):
            nlp.get_pipe(part).update(examples)
    docs = [eg.predicted for eg in examples]
    found = nlp.get_pipe(name).model.predict(docs)
    expected = nlp.get_pipe(name).model.predict(
        [nlp.get_pipe("bloom_transformer")(nlp.make_doc(doc.text)) for doc in docs]
    )
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-5)
    with pytest.raises(ListenerError):
        nlp.get_pipe(name).model.predict([nlp.make_doc("another Doc")])
    copied = copy.deepcopy(nlp)
    with pytest.raises(ListenerError):
        copied.get_pipe(name).model.predict(docs[:1])
