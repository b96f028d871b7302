import copy
import pickle
from dataclasses import fields

import pytest
import torch
import transformers.modeling_outputs
from torch.utils import _pytree

from spacy_bloom.bloom import outputs
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.bloom.outputs import CausalLMOutputWithCrossAttentions, ModelOutput, TokenClassifierOutput

NAMES = sorted(
    name
    for name in vars(outputs)
    if name.endswith(("Output", "Past", "Attentions")) and name != "ModelOutput"
)


@pytest.fixture
def make():
    """Ours and Hugging Face's output with the same fields."""

    def make(name="CausalLMOutputWithCrossAttentions", **values):
        return [getattr(room, name)(**values) for room in (outputs, transformers.modeling_outputs)]

    return make


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_those_of_hugging_face(name):
    ours, theirs = (getattr(room, name) for room in (outputs, transformers.modeling_outputs))
    assert len(NAMES) == 5 and issubclass(ours, ModelOutput)
    assert [(f.name, f.default) for f in fields(ours)] == [(f.name, f.default) for f in fields(theirs)]


def test_it_is_read_like_a_dict_and_like_a_tuple(make):
    for output in make(logits=(logits := torch.ones(2)), attentions=(states := (torch.zeros(1),))):
        assert isinstance(output, dict)
        assert output["logits"] is output[0] is output.logits is output.get("logits") is logits
        assert output[-1] is states and output[:1] == (logits,) and output[1:] == output.to_tuple()[1:]
        assert list(output) == list(output.keys()) == ["logits", "attentions"] and len(output) == 2
        assert list(output.values())[1] is dict(output.items())["attentions"] is states
        assert "logits" in output and "loss" not in output and output.loss is None
        first, second = output  # names, as there
        assert (first, second) == ("logits", "attentions")
        assert {**output}["logits"] is logits
        with pytest.raises(KeyError):
            output["loss"]
        with pytest.raises(IndexError):
            output[2]


def test_it_is_written_like_hugging_faces(make):
    for output in make(loss=torch.ones(()), logits=torch.ones(2)):
        output.loss = torch.zeros(())
        assert output["loss"] == output[0] == 0
        output["logits"] = torch.zeros(2)
        assert output.logits.sum() == 0
        output.hidden_states = (torch.ones(1),)  # was no key, and is none
        assert output.hidden_states is not None and "hidden_states" not in output
        output["attentions"] = (torch.ones(1),)
        assert list(output) == ["loss", "logits", "attentions"]


@pytest.mark.parametrize("method", ["pop", "update", "setdefault", "__delitem__"])
def test_what_would_break_the_order_of_fields_is_refused(make, method):
    for output in make(logits=torch.ones(2)):
        with pytest.raises(Exception, match=r"fixed|cannot use"):
            getattr(output, method)("logits")


def test_it_is_made_again_from_a_mapping_or_pairs(make):
    for output in make(loss=torch.ones(()), logits=torch.ones(2)):
        for made in (type(output)(dict(output)), type(output)((name, output[name]) for name in output)):
            assert (
                list(made) == ["loss", "logits"] and made.logits is output.logits and made.loss is output.loss
            )


def test_copies_and_pickles(make):
    for output in make(logits=torch.ones(2), hidden_states=(torch.zeros(1),)):
        output["attentions"] = (torch.ones(1),)
        for other in (copy.copy(output), copy.deepcopy(output), pickle.loads(pickle.dumps(output))):
            assert type(other) is type(output) and list(other) == list(output)
            assert torch.equal(other.logits, other[0]) and torch.equal(other.hidden_states[0], torch.zeros(1))


def test_trees_of_tensors_go_through_it():
    cache = KeyValueCache.holding([(torch.ones(1, 2, 3, 4),) * 2], stays=True)
    output = CausalLMOutputWithCrossAttentions(logits=torch.ones(2), past_key_values=cache)
    doubled = _pytree.tree_map(lambda x: x * 2, output)
    assert type(doubled) is type(output) and doubled.loss is None and doubled.logits.sum() == 4
    assert doubled.past_key_values[0][1].sum() == 48 and doubled.past_key_values.stays
    assert cache[0][0].sum() == 24


def test_its_text(make):
    ours, theirs = make("TokenClassifierOutput", logits=torch.ones(1))
    assert repr(ours) == repr(theirs) and repr(ours).startswith("TokenClassifierOutput(loss=None, logits=")


def test_an_empty_one():
    assert len(TokenClassifierOutput()) == 0 and TokenClassifierOutput().to_tuple() == ()
