import copy
import gc
import pickle

import numpy
import pytest
from safetensors.numpy import save_file

from spacy_bloom.errors import BloomWarning, ConfigError
from spacy_bloom.settings import from_settings
from spacy_bloom.thinc_layers.architectures import create_transformer_model
from spacy_bloom.thinc_layers.pieces import reused_vectors
from spacy_bloom.thinc_layers.pieces.reused_vectors import ReusedVectors, ReuseSettings

SIZE = 5


def ids(number, length=4):
    return numpy.arange(length, dtype="int64") + 100 * number


def vectors(number, length=4):
    return numpy.random.default_rng(number).normal(size=(length, SIZE)).astype("float32")


def store(identity="a", **settings):
    made = ReusedVectors(from_settings(ReuseSettings, "reuse", settings))
    made.use(identity)
    return made


@pytest.fixture(params=["memory", "disk", "path"])
def place(request, tmp_path, monkeypatch):
    """Settings for each place; files are written after a few vectors."""
    monkeypatch.setattr(reused_vectors, "FILE_BYTES", 3 * vectors(0).nbytes)
    return {"memory": {}, "disk": {"disk": True}, "path": {"path": str(tmp_path / "kept")}}[request.param]


def test_what_is_kept_is_read_again_exactly(place):
    kept = store(**place)
    for number in range(10):
        assert kept.get(ids(number), SIZE) is None
        numpy.testing.assert_array_equal(kept.add(ids(number), vectors(number)), vectors(number))
    for number in range(10):
        numpy.testing.assert_array_equal(kept.get(ids(number), SIZE), vectors(number))
    assert kept.get(ids(3)[:2], SIZE) is None
    kept.close()


def test_what_does_not_fit_is_not_kept(place):
    kept = store(**place, max_mb=6.5 * vectors(0).nbytes / 1e6)
    for _ in range(2):
        for number in range(10):
            numpy.testing.assert_array_equal(kept.add(ids(number), vectors(number)), vectors(number))
    found = [kept.get(ids(number), SIZE) is not None for number in range(10)]
    assert found == [True] * 6 + [False] * 4
    kept.close()


def test_half_the_size_on_request(place):
    kept = store(**place, dtype="float16", max_mb=5 * vectors(0).nbytes / 2e6)
    for number in range(7):
        expected = vectors(number).astype("float16").astype("float32")
        assert not numpy.array_equal(expected, vectors(number))
        numpy.testing.assert_array_equal(kept.add(ids(number), vectors(number)), expected)
        if number < 5:
            numpy.testing.assert_array_equal(kept.get(ids(number), SIZE), expected)
        else:
            assert kept.get(ids(number), SIZE) is None
    kept.close()


def test_other_weights_have_other_vectors(place):
    kept = store("a", **place)
    kept.add(ids(0), vectors(0))
    kept.use("b")
    assert kept.get(ids(0), SIZE) is None
    kept.add(ids(0), vectors(1))
    numpy.testing.assert_array_equal(kept.get(ids(0), SIZE), vectors(1))
    kept.close()


def test_a_later_run_takes_a_path_up_again(tmp_path, monkeypatch):
    monkeypatch.setattr(reused_vectors, "FILE_BYTES", 3 * vectors(0).nbytes)
    path = str(tmp_path / "kept")
    first = store(path=path)
    for number in range(5):
        first.add(ids(number), vectors(number))
    del first  # what was not yet a file becomes one
    gc.collect()
    files = list((tmp_path / "kept" / "a").iterdir())
    assert len(files) == 2 and {file.suffix for file in files} == {".safetensors"}
    second = store(path=path, max_mb=sum(file.stat().st_size for file in files) / 1e6)
    for number in range(5):
        numpy.testing.assert_array_equal(second.get(ids(number), SIZE), vectors(number))
    second.add(ids(5), vectors(5))
    assert second.get(ids(5), SIZE) is None  # the limit is of all runs together
    assert store("b", path=path).get(ids(0), SIZE) is None


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 100])
def test_files_that_are_none_of_ours_are_not_read(tmp_path, content):
    first = store(path=str(tmp_path))
    first.add(ids(0), vectors(0))
    first.close()
    (tmp_path / "a" / "vectors-0.safetensors").write_bytes(content)
    with pytest.warns(BloomWarning, match="Delete it"):
        second = store(path=str(tmp_path))
    numpy.testing.assert_array_equal(second.get(ids(0), SIZE), vectors(0))


@pytest.mark.parametrize(
    "value", [vectors(0)[:2], vectors(0).astype("float64"), vectors(0)[:, :3], vectors(0)[0]]
)
def test_vectors_of_another_shape_or_dtype_are_computed_again(tmp_path, value):
    (tmp_path / "a").mkdir()
    key = reused_vectors._key(ids(0))
    save_file({key: numpy.ascontiguousarray(value)}, tmp_path / "a" / "vectors-0.safetensors")
    kept = store(path=str(tmp_path))
    assert kept.get(ids(0), SIZE) is None
    kept.add(ids(0), vectors(0))
    numpy.testing.assert_array_equal(kept.get(ids(0), SIZE), vectors(0))


@pytest.mark.parametrize("end", [lambda kept: kept.close(), lambda kept: kept.use("b"), lambda kept: None])
def test_a_temporary_folder_is_removed(monkeypatch, tmp_path, end):
    monkeypatch.setattr(reused_vectors.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(reused_vectors, "FILE_BYTES", 1)
    kept = store(disk=True)
    kept.add(ids(0), vectors(0))
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.iterdir())) == 1
    end(kept)
    del kept
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_starts_empty(duplicate):
    kept = store(max_mb=7)
    kept.add(ids(0), vectors(0))
    copied = duplicate(kept)
    assert copied.config == kept.config and not copied.started
    copied.use("a")
    assert copied.get(ids(0), SIZE) is None


def test_nobody_changes_what_is_kept():
    kept = store()
    kept.add(ids(0), vectors(0))
    with pytest.raises(ValueError, match="read-only"):
        kept.get(ids(0), SIZE)[0] = 1.0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_mb": 0}, "above 0, got 0"),
        ({"max_mb": float("inf")}, "finite"),
        ({"dtype": "int8"}, "'float32', 'float16'"),
        ({"size": 3}, "no setting 'size'; the settings are max_mb, path"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_settings(ReuseSettings, "reuse", settings)


def test_a_transformer_that_learns_has_nothing_to_reuse(checkpoint):
    with pytest.raises(ConfigError, match="train_transformer = false"):
        create_transformer_model(checkpoint, reuse={})
