import pytest
import torch

from spacy_bloom.checkpoint import arguments
from spacy_bloom.checkpoint.arguments import REFUSED, WITHOUT_EFFECT, one_device, refuse, take_arguments
from spacy_bloom.errors import InputError


def test_what_is_taken_and_what_is_left():
    options = dict(
        torch_dtype="auto", cache_dir="d", use_auth_token="t", num_labels=3, low_cpu_mem_usage=True
    )
    options.update(
        attn_implementation="eager", trust_remote_code=False, load_in_8bit=False, weights_only=True
    )
    assert take_arguments(options) == {"torch_dtype": "auto", "cache_dir": "d", "token": "t"}
    assert options == {"num_labels": 3}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_what_to_do(name):
    for nothing in (None, False):
        refuse({name: nothing})
    with pytest.raises(InputError, match=f"Got {name}=.*{REFUSED[name][:20]}"):
        take_arguments({name: True})


@pytest.mark.parametrize("options, message", [
    (dict(weights_only=False), "files are data"), (dict(attn_implementation="sdpa"), "'eager'"),
])  # fmt: skip
def test_values_that_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        take_arguments(options)


def test_what_has_no_effect():
    options = dict.fromkeys(WITHOUT_EFFECT, "x")
    assert take_arguments(options) == {} == options


@pytest.mark.parametrize("device_map, expected", [
    ("cpu", "cpu"), (torch.device("meta"), torch.device("meta")), (0, 0), ({"": "cpu"}, "cpu"),
    ({"transformer": "cpu", "lm_head": "cpu"}, "cpu"), ({"transformer": "cpu", "lm_head": "meta"}, None),
    ({"": "disk"}, None), ({}, None),
])  # fmt: skip
def test_maps_of_one_device(device_map, expected):
    assert one_device(device_map) == expected


@pytest.mark.parametrize("gpu, accelerate", [(True, False), (False, True), (False, False)])
def test_automatic_maps(monkeypatch, gpu, accelerate):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(arguments, "find_spec", lambda name: accelerate or None)
    there = gpu or accelerate
    assert one_device("auto") == one_device("balanced") == (None if there else "cpu")
