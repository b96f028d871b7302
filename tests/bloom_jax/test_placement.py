"""Virtual devices, in a process of their own: their number is fixed when JAX starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed: pip install spacy-bloom[jax].")
from jax.sharding import Mesh, PartitionSpec

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.bloom_jax.placement import as_auto, check_mesh, place_rows, weight_sharding
from spacy_bloom.checkpoint.names import decoder_shapes
from spacy_bloom.checkpoint.partition import cut_dimension
from spacy_bloom.errors import InputError

EVEN = BloomConfig(n_head=8, hidden_size=64, n_layer=2, vocab_size=64)
ODD = BloomConfig(n_head=6, hidden_size=24, n_layer=1, vocab_size=61)  # a vocabulary that no number divides


@pytest.fixture(scope="module")
def reports(tmp_path_factory, randomize):
    """What different meshes compute from one checkpoint; see mesh_report.py."""
    paths, command = {}, [sys.executable, str(Path(__file__).with_name("mesh_report.py"))]
    for name, config, shapes in (("even", EVEN, ("1x1", "1x2", "2x4")), ("odd", ODD, ("1x1", "2x2"))):
        paths[name] = str(tmp_path_factory.mktemp(name))
        randomize(BloomForCausalLM(config)).save_pretrained(paths[name])
        command += [paths[name], *shapes]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout)
    return {name: found[path] for name, path in paths.items()}


@pytest.mark.parametrize("name, mesh", [("even", "1x2"), ("even", "2x4"), ("odd", "2x2")])
def test_devices_together_compute_what_one_does(name, mesh, reports, gap):
    one, many = reports[name]["1x1"], reports[name][mesh]
    assert gap(many["logits"], one["logits"]) < 1e-5
    assert many["greedy"] == one["greedy"]
    assert gap(many["losses"], one["losses"]) < 1e-5
    for weight, expected in one["trained"].items():
        assert gap(many["trained"][weight], expected) < 1e-5, weight


def test_collectives_are_two_sums_a_layer_and_one_for_the_embedding(reports):
    assert reports["even"]["1x1"]["collectives"] == {}
    for mesh in ("1x2", "2x4"):
        assert reports["even"][mesh]["collectives"] == {"all-reduce": 2 * EVEN.n_layer + 1}


def test_each_device_reads_and_holds_its_part(reports):
    sizes = {name: 4 * int(np.prod(shape)) for name, shape in decoder_shapes(EVEN).items()}
    whole = sum(sizes.values())
    for mesh, devices in (("1x1", 1), ("1x2", 2), ("2x4", 4)):
        report = reports["even"][mesh]
        part = sum(size // (1 if cut_dimension(name) is None else devices) for name, size in sizes.items())
        assert report["read"] == whole  # every byte once, also where the data axis has it twice
        assert report["held"] == report["held after training"] == part
        assert report["optimizer"] == part  # the momentum


def test_a_vocabulary_that_is_not_divided_is_cut_by_columns():
    mesh = Mesh(np.array(jax.devices() * 2)[None, :2], ("data", "model"))
    sharding = weight_sharding(mesh, "word_embeddings.weight", (61, 24))
    assert sharding.spec == PartitionSpec(None, "model")
    assert weight_sharding(mesh, "word_embeddings.weight", (62, 24)).spec == PartitionSpec("model")
    assert weight_sharding(mesh, "ln_f.weight", (24,)).spec == PartitionSpec()


def test_meshes_that_do_not_fit_are_named():
    devices = np.array(jax.devices() * 4)
    with pytest.raises(InputError, match="divides the 6 attention heads, got 4"):
        check_mesh(Mesh(devices[None, :4], ("data", "model")), ODD)
    with pytest.raises(InputError, match="'data' and 'model', got .*'x'"):
        check_mesh(Mesh(devices[:1], ("x",)), ODD)


def test_rows_stay_as_they_are_without_a_mesh():
    rows = np.zeros((3, 2))
    assert place_rows(None, rows) is rows
    mesh = as_auto(jax.make_mesh((1, 1), ("data", "model")))
    placed = place_rows(mesh, (rows, None))
    assert placed[0].sharding.spec == PartitionSpec("data") and placed[1] is None
