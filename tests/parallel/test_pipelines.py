import numpy
import pytest

from spacy_bloom import bundled_path
from spacy_bloom.bloom.model import BloomModel
from spacy_bloom.checkpoint.files import TensorSource
from spacy_bloom.config import BloomConfig
from spacy_bloom.errors import InputError
from spacy_bloom.parallel import pipelines
from spacy_bloom.parallel.pipelines import (
    load_for_pipeline,
    spread_of,
    tensor_parallel_pipelines,
)


def test_adapters_cannot_be_divided(monkeypatch):
    monkeypatch.setattr(pipelines, "_divided", True)
    with pytest.raises(InputError, match="adapters in here, which cannot be divided"):
        load_for_pipeline(BloomModel, BloomConfig(), TensorSource(), device="cpu", adapters="here")


def test_a_divided_pipeline_annotates_like_the_whole_one(run_report):
    (whole, (size, shares)), *ranks = run_report("pipelines_report.py", bundled_path("xx_bloom_tiny_demo"))[0]
    assert shares and any(doc["ents"] for doc in whole) and any(doc["generated"] for doc in whole)
    for docs, (held, shared) in ranks:
        assert shared
        assert held < 0.52 * size
        for own, expected in zip(docs, whole, strict=True):
            numbers = own.pop("numbers"), expected["numbers"]
            assert own == {key: value for key, value in expected.items() if key != "numbers"}
            numpy.testing.assert_allclose(*numbers, rtol=1e-4, atol=1e-5)


def test_a_process_alone_has_no_others_to_share_with(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="torchrun"), tensor_parallel_pipelines():
        pass
    assert spread_of() is None
    assert spread_of("auto") == "device_map auto"
