"""Scripts that differ in their import only give the same."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
import transformers

import spacy_bloom

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
CHECKPOINTS = {
    "embeddings": "BloomModel",
    "classify_texts": "BloomForSequenceClassification",
    "tag_tokens": "BloomForTokenClassification",
    "answer_questions": "BloomForQuestionAnswering",
}


def assert_close(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_close(mine, other)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=2e-4, abs=1e-5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_the_same_with_either_library(directory_of, file):
    spec = spec_from_file_location(file.stem, file)
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    fields = {"num_labels": 3} if file.stem == "tag_tokens" else {}
    path = directory_of(CHECKPOINTS.get(file.stem, "BloomForCausalLM"), **fields)
    results = []
    for library in (spacy_bloom, transformers):
        torch.manual_seed(0)
        results.append(script.run(library, path))
    assert_close(*results)


def test_there_are_ten():
    assert len(SCRIPTS) == 10
