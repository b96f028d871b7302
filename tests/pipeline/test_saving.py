"""Saved pipelines: no network, no pickle, clear errors, and the checkpoint is not needed any more."""

import pickle
import pickletools
import shutil
import socket

import numpy
import pytest
import spacy
import srsly
import torch
from safetensors.torch import load_file, save_file
from thinc.api import Adam

from spacy_bloom import BloomConfig, BloomModel
from spacy_bloom.errors import CheckpointError
from spacy_bloom.pipeline.saving import component_folder, save_pipeline
from spacy_bloom.thinc_layers.weights import saved_model

COMPONENTS = ("tagger", "ner", "bloom_token_classifier")


@pytest.fixture
def trained(make_nlp, make_examples):
    nlp = make_nlp(*COMPONENTS)
    optimizer = Adam(0.003)
    for _ in range(5):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp


@pytest.fixture
def saved(trained, tmp_path):
    trained.to_disk(tmp_path / "nlp")
    return tmp_path / "nlp"


@pytest.fixture
def no_network(monkeypatch):
    def connect(*args, **kwargs):
        raise AssertionError(f"made a connection: {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


def rename_checkpoint(path, name):
    config = spacy.util.load_config(path / "config.cfg")
    config["components"]["bloom_transformer"]["model"]["name"] = name
    config.to_disk(path / "config.cfg")


@pytest.mark.parametrize("offline", [True, False])
def test_loading_asks_no_network(trained, saved, predictions, no_network, monkeypatch, offline):
    """Even where the config names a checkpoint on the Hub, and whether or not the Hub client is told to be
    offline.
    """
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    rename_checkpoint(saved, "nobody/has-this-checkpoint")
    assert predictions(spacy.load(saved)) == predictions(trained)


@pytest.mark.parametrize("name", ["/nowhere/checkpoint", "tiny-bloom", "../checkpoint"])
def test_the_checkpoint_is_not_needed_any_more(trained, saved, predictions, name):
    rename_checkpoint(saved, name)
    assert predictions(spacy.load(saved)) == predictions(trained)


def test_the_checkpoint_may_have_changed_its_size(trained, saved, predictions, checkpoint, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    BloomModel(BloomConfig(vocab_size=620, hidden_size=48, n_layer=1, n_head=4)).save_pretrained(other)
    rename_checkpoint(saved, str(other))
    assert predictions(spacy.load(saved)) == predictions(trained)


def looks_like_a_pickle(content):
    """A whole pickle, or the archive of torch.save, or either inside other data."""
    if any(
        marker in content for marker in (b"PK\x03\x04", b"ctorch._utils", b"_rebuild_tensor", b"c__builtin__")
    ):
        return True
    try:
        return len(list(pickletools.genops(content))) > 0
    except (ValueError, IndexError):
        return False


def test_no_file_is_a_pickle(saved, tmp_path):
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in files)
    for path in files:
        assert path.suffix not in (".pt", ".pth", ".pkl", ".pickle", ".ckpt")
        assert not looks_like_a_pickle(path.read_bytes()), path
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    for pickled in (pickle.dumps({"a": torch.zeros(2)}), pickle.dumps([1]), (tmp_path / "a.pt").read_bytes()):
        assert looks_like_a_pickle(pickled)


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    """The weights' files; spaCy's own differ in their order of strings."""
    spacy.load(saved).to_disk(tmp_path / "again")
    for path in (saved / "bloom_transformer").rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(saved)).read_bytes() == path.read_bytes()


def test_saving_over_the_place_it_was_loaded_from(trained, saved, predictions):
    """The weights are mapped from the file that is replaced."""
    nlp = spacy.load(saved)
    nlp.to_disk(saved)
    assert predictions(nlp) == predictions(trained)
    assert predictions(spacy.load(saved)) == predictions(trained)


def test_half_precision_on_disk(make_nlp, checkpoint, tmp_path):
    sizes = []
    for storage_dtype in (None, "float16"):
        nlp = make_nlp(initialize=False, model={"storage_dtype": storage_dtype})
        nlp.to_disk(tmp_path / str(storage_dtype))
        file = tmp_path / str(storage_dtype) / "bloom_transformer" / "model" / "model.safetensors"
        sizes.append(file.stat().st_size)
        loaded = spacy.load(tmp_path / str(storage_dtype))
        found = loaded("Ana lives in Lima")._.trf_data.tensors[0]
        numpy.testing.assert_allclose(found, nlp("Ana lives in Lima")._.trf_data.tensors[0], atol=0.05)
        assert loaded.get_pipe("bloom_transformer").model.shims[0].module.dtype == torch.float32
    assert abs(sizes[1] / sizes[0] - 0.5) < 0.02


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_computing_in_half_precision(make_nlp, make_examples, predictions, tmp_path, dtype):
    nlp = make_nlp("tagger", model={"dtype": dtype})
    optimizer = Adam(0.003)
    losses = [nlp.update(make_examples(nlp), sgd=optimizer) for _ in range(20)]
    assert losses[-1]["tagger"] < 0.8 * losses[0]["tagger"]
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert loaded.get_pipe("bloom_transformer").model.shims[0].module.dtype == getattr(torch, dtype)
    assert predictions(loaded) == predictions(nlp)


def test_bytes_over_the_limit(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(saved_model, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="nlp.to_disk has no limit"):
        trained.to_bytes()
    trained.to_disk(tmp_path / "nlp")  # has no limit


def test_damaged_weights_are_named(saved):
    file = saved / "bloom_transformer" / "model" / "model.safetensors"
    weights = load_file(file)
    weights["foreign"] = weights.pop("h.0.mlp.dense_h_to_4h.weight")
    save_file(weights, file)
    with pytest.raises(CheckpointError) as caught:
        spacy.load(saved)
    assert "missing: h.0.mlp.dense_h_to_4h.weight" in str(caught.value)
    assert "unexpected: foreign" in str(caught.value)


def test_missing_weights_are_an_error(saved):
    shutil.rmtree(saved / "bloom_transformer" / "model")
    with pytest.raises(CheckpointError):
        spacy.load(saved)


@pytest.mark.parametrize("excluded", ["tagger", "bloom_token_classifier"])
def test_loading_without_a_component(saved, excluded):
    nlp = spacy.load(saved, exclude=[excluded])
    assert nlp("Ana lives in Lima")._.trf_data is None
    nlp = spacy.load(saved, disable=[excluded])
    assert nlp("Ana lives in Lima")._.trf_data is None
    nlp.enable_pipe(excluded)
    assert nlp("Ana lives in Lima")._.trf_data is None


def test_the_window_can_be_changed_at_loading(saved, trained):
    nlp = spacy.load(
        saved, config={"components": {"bloom_transformer": {"model": {"window": 400, "context": 0}}}}
    )
    text = "Ana lives in Lima " * 20
    wide = (
        spacy.load(saved).get_pipe("bloom_transformer").predict([nlp.make_doc(text)]).doc_data[0].tensors[0]
    )
    narrow = nlp.get_pipe("bloom_transformer").predict([nlp.make_doc(text)]).doc_data[0].tensors[0]
    assert wide.shape == narrow.shape and numpy.abs(wide - narrow).max() > 1e-3


def test_as_a_package(saved, trained, predictions, tmp_path, python_spacy):
    """`spacy package` in a process of its own."""
    (tmp_path / "out").mkdir()
    command = [
        "-m",
        "spacy",
        "package",
        str(saved),
        str(tmp_path / "out"),
        "--build",
        "none",
        "--name",
        "test_bloom",
    ]
    done = python_spacy.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = (tmp_path / "out").iterdir()
    requirements = srsly.read_json(package / "meta.json")["requirements"]
    assert any(line.startswith(("spacy-bloom", "spacy_bloom")) for line in requirements)
    (data,) = (package / "xx_test_bloom").glob("xx_test_bloom-*")
    assert predictions(spacy.load(data)) == predictions(trained)
    shutil.copy(package / "meta.json", package / "xx_test_bloom")  # as its setup.py does
    code = "import xx_test_bloom; print([t.tag_ for t in xx_test_bloom.load()('Ana lives in Lima')])"
    done = python_spacy.run("-c", code, cwd=package)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([t.tag_ for t in trained("Ana lives in Lima")])


class FullDisk:
    """A tokenizer that cannot be written any more."""

    def to_disk(self, path, **options):
        raise OSError(28, "No space left on device")


def files_of(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_pipeline_is_replaced_when_it_is_complete(tmp_path):
    nlp = spacy.blank("xx")
    save_pipeline(nlp, tmp_path / "made" / "nlp")
    (tmp_path / "made" / "nlp" / "of_a_component_that_is_gone").mkdir()
    before = files_of(tmp_path)
    nlp.meta["name"] = "new"
    tokenizer, nlp.tokenizer = nlp.tokenizer, FullDisk()
    with pytest.raises(OSError, match="No space"):
        save_pipeline(nlp, tmp_path / "made" / "nlp")
    assert files_of(tmp_path) == before
    nlp.tokenizer = tokenizer
    save_pipeline(nlp, tmp_path / "made" / "nlp", exclude=["vocab"])
    assert spacy.load(tmp_path / "made" / "nlp").meta["name"] == "new"
    assert {path.name for path in (tmp_path / "made" / "nlp").iterdir()} == {
        "config.cfg",
        "meta.json",
        "tokenizer",
    }
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["nlp"]


def test_the_folder_of_a_component_is_whole(tmp_path):
    """Its labels and its weights are files of their own, which would not fit each other."""
    for name in ("cfg", "model"):
        (tmp_path / "pipe").mkdir(exist_ok=True)
        (tmp_path / "pipe" / name).write_text("old")
    with pytest.raises(OSError), component_folder(tmp_path / "pipe", ["vocab"]) as place:
        (place / "cfg").write_text("new")
        raise OSError(28, "No space left on device")
    assert set(files_of(tmp_path / "pipe").values()) == {b"old"}
    with component_folder(tmp_path / "pipe", ["vocab", "model"]) as place:
        (place / "cfg").write_text("new")
    assert [(tmp_path / "pipe" / name).read_text() for name in ("cfg", "model")] == ["new", "old"]


def test_a_classifier_is_saved_whole(tmp_path, add_transformer, make_examples, monkeypatch):
    nlp = spacy.blank("xx")
    add_transformer(nlp)
    pipe = nlp.add_pipe("bloom_token_classifier")
    nlp.initialize(lambda: make_examples(nlp))
    pipe.to_disk(tmp_path / "pipe", exclude=["vocab"])
    before = files_of(tmp_path)
    pipe.cfg["target"] = "tag"

    def fail(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("thinc.model.Model.to_bytes", fail)
    with pytest.raises(OSError):
        pipe.to_disk(tmp_path / "pipe", exclude=["vocab"])
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("found", [5, None, [5], ["A", "A"], ["O", "B-A"], "O"], ids=repr)
def test_labels_that_do_not_fit_the_outputs(trained, saved, found):
    path = saved / "bloom_token_classifier" / "cfg"
    cfg = srsly.read_json(path)
    assert len(cfg["tags"]) > 2
    srsly.write_json(path, {**cfg, "tags": found})
    with pytest.raises(CheckpointError, match="the component 'bloom_token_classifier'"):
        spacy.load(saved)
