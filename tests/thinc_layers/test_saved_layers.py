"""Saved layers that somebody has changed: an error that names the component, and one that can still be read into."""

import gc

import numpy
import pytest
import srsly
from thinc.api import Linear, chain

from spacy_bloom.errors import CheckpointError
from spacy_bloom.thinc_layers.saved_layers import reading


@pytest.fixture
def model():
    return chain(Linear(3, 4), Linear(2, 3)).initialize()


def read(model, change):
    message = srsly.msgpack_loads(model.to_bytes())
    change(message)
    with reading("the component 'x'", model):
        model.from_bytes(srsly.msgpack_dumps(message))


CHANGES = {
    "another shape": lambda m: m["params"][1].update(W=numpy.zeros((5, 4), "f")),
    "another dtype": lambda m: m["params"][1].update(b=numpy.zeros(3)),
    "no array": lambda m: m["params"][1].update(b=[0.0, 0.0, 0.0]),
    "another weight": lambda m: m["params"][1].update(V=numpy.zeros((3, 4), "f")),
    "a size of another type": lambda m: m["nodes"][1]["dims"].update(nO="3"),
    "a reference to nothing": lambda m: m["nodes"][0]["refs"].update(x=99),
    "an attribute of another type": lambda m: m["attrs"][0].update(kind=srsly.msgpack_dumps([1])),
    "no nodes": lambda m: m.pop("nodes"),
    "a name that is none": lambda m: m["nodes"][1].update(name=5),
    "text for a list": lambda m: m.update(params="x"),
}


@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_changed_layers(model, kind):
    model.attrs["kind"] = "a"
    good = model.to_bytes()
    with pytest.raises(CheckpointError, match="Expected what was saved of the component 'x'"):
        read(model, CHANGES[kind])
    fresh = chain(Linear(3, 4), Linear(2, 3)).initialize()
    fresh.attrs["kind"] = "b"
    with reading("it", fresh):
        fresh.from_bytes(good)
    assert fresh.attrs["kind"] == "a"


def test_the_collector_stays_on(model):
    assert gc.isenabled()
    with pytest.raises(CheckpointError), reading("it", model):
        model.from_bytes(b"\xc1")
    assert gc.isenabled()


def test_attributes_are_as_before_after_a_failure(model):
    model.attrs["kind"] = "a"
    with pytest.raises(CheckpointError):
        read(model, CHANGES["an attribute of another type"])
    assert model.attrs["kind"] == "a"
