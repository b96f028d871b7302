"""What was published, compared with a checkpoint: with fakes, and with the real ones where they are at hand."""

import os
from pathlib import Path

import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast, verification
from spacy_bloom.checkpoint.sources import find_checkpoint
from spacy_bloom.errors import CheckpointError
from spacy_bloom.published import (
    GEOMETRIES,
    OWNER,
    TEXTS_REVISION,
    TEXTS_SIZE,
    PublishedTexts,
    published_config,
)
from spacy_bloom.verification import check_texts, size_of, verify

# A directory with folders named as the sizes (bloom-560m, ...); otherwise the Hub's cache is looked into.
PLACE = "SPACY_BLOOM_PUBLISHED"
PROMPTS = ["The river was high", "Il pleut"]


def at_hand(size):
    """RETURNS (Path | str): The directory of a checkpoint, or why there is none; nothing is downloaded."""
    if PLACE in os.environ:
        path = Path(os.environ[PLACE]) / size
        return path if path.is_dir() else f"There is no folder {size} in the directory that {PLACE} names."
    revision = TEXTS_REVISION if size == TEXTS_SIZE else None
    try:
        return find_checkpoint(f"{OWNER}/{size}", revision=revision, local_files_only=True)
    except CheckpointError:
        return f"{OWNER}/{size} is not in the Hub's cache, and {PLACE} names no directory that has it."


@pytest.mark.parametrize("size", GEOMETRIES)
def test_the_published_checkpoint(size):
    path = at_hand(size)
    if isinstance(path, str):
        pytest.skip(path)
    checks = list(verify(path, size))
    assert [check for check in checks if check.state == "different"] == []
    unchecked = {check.fact for check in checks if check.state == "not checked"}
    assert unchecked <= (set() if size == TEXTS_SIZE else {"texts"})


def states(checks):
    return {check.fact: check.state for check in checks}


def test_a_checkpoint_is_found_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv(PLACE, str(tmp_path))
    assert "bloom-3b" in at_hand("bloom-3b") and isinstance(at_hand("bloom-3b"), str)
    (tmp_path / "bloom-3b").mkdir()
    assert at_hand("bloom-3b") == tmp_path / "bloom-3b"


def test_another_checkpoint_differs(tiny_checkpoint):
    found = list(verify(tiny_checkpoint, TEXTS_SIZE))
    assert all(check.state == "different" for check in found if "ids" not in check.fact)
    ids = [check for check in found if check.fact.startswith("ids of")]
    assert len(ids) == 2 and all(check.state == "different" for check in ids)
    assert "expected [2175, 23714, 73173, 144252, 2], got [" in ids[0].detail
    parameters = next(check for check in found if check.fact.startswith("parameters"))
    assert "expected 559,214,592, got" in parameters.detail
    assert states(found)["'I enjoy walking with my cute dog' alone"] == "different"
    assert found[-1].detail.startswith("expected prompts of less than 20 pieces, got")


def test_without_a_size(tiny_checkpoint):
    found = states(verify(tiny_checkpoint))
    assert found["hidden size, blocks, heads, rows"] == "different"
    assert found["parameters"] == found["texts"] == "not checked"


@pytest.fixture
def published(tiny_checkpoint, monkeypatch):
    """The tiny checkpoint, as if it had been published."""
    config = BloomConfig.from_pretrained(tiny_checkpoint)
    tokenizer = BloomTokenizerFast.from_pretrained(tiny_checkpoint)
    model = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    texts = {}
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        n_new = 12 - max(len(row) for row in tokenizer(PROMPTS).input_ids)
        texts[prompt] = tokenizer.decode(
            model.generate(**ids, max_new_tokens=n_new)[0], skip_special_tokens=True
        ).removeprefix(prompt)
    sentence = "The quick brown fox</s>"
    monkeypatch.setattr(
        verification, "GEOMETRIES", {TEXTS_SIZE: (config.hidden_size, config.n_layer, config.n_head)}
    )
    monkeypatch.setattr(verification, "PARAMETERS", {TEXTS_SIZE: model.num_parameters()})
    monkeypatch.setattr(verification, "VOCAB_SIZE", config.vocab_size)
    monkeypatch.setattr(verification, "N_PIECES", len(tokenizer))
    monkeypatch.setattr(verification, "TOKENIZED", {sentence: tuple(tokenizer(sentence).input_ids)})
    monkeypatch.setattr(verification, "TEXTS", (PublishedTexts(12, texts),))
    return tiny_checkpoint


def test_what_was_published_is_the_same(published, tmp_path):
    checks = list(verify(published))
    assert [check for check in checks if check.state != "same"] == []
    assert sum(check.fact.endswith("in a batch") for check in checks) == 2
    assert states(verify(published, revision="main"))["texts"] == "not checked"


def test_one_weight_that_differs(published, tmp_path):
    model = BloomForCausalLM.from_pretrained(published)
    with torch.no_grad():
        model.transformer.ln_f.weight[3] = -9.0
    model.save_pretrained(tmp_path)
    found = states(verify(tmp_path, TEXTS_SIZE))
    assert found["tokenizer"] == "not checked"
    BloomTokenizerFast.from_pretrained(published).save_pretrained(tmp_path)
    found = states(verify(tmp_path, TEXTS_SIZE))
    assert found["pieces"] == found["parameters of bloom-560m"] == "same"
    assert "different" in found.values()


def test_what_is_missing_is_not_checked(published, tmp_path):
    BloomConfig.from_pretrained(published).save_pretrained(tmp_path)
    found = states(verify(tmp_path))
    assert list(found.values()) == ["same", "not checked", "not checked", "not checked"]


@pytest.mark.parametrize("size", GEOMETRIES)
def test_the_size_of_a_geometry(size):
    assert size_of(published_config(size)) == size


def test_texts_of_another_model(tiny_checkpoint):
    model = BloomForCausalLM.from_pretrained(tiny_checkpoint)
    tokenizer = BloomTokenizerFast.from_pretrained(tiny_checkpoint)
    (check,) = check_texts(model, tokenizer, PublishedTexts(14, {"The river": " is not this"}))
    assert check.state == "different" and "expected  is not this" in check.detail
