import shutil

import bundle_demo
import numpy
import pytest
import spacy

from spacy_bloom import bundled_path

NAME = "xx_bloom_tiny_demo"
TEXT = "Clara Mendes lives in Lisbon."


@pytest.fixture
def assets(tmp_path):
    shutil.copytree(bundled_path(NAME), tmp_path / "assets" / NAME)
    return tmp_path / "assets"


def test_a_pipeline_is_bundled_without_what_it_was_trained_on(assets, tmp_path):
    nlp = spacy.load(assets / NAME)
    secrets = {"train": "secret/train", "dev": "secret/dev", "checkpoint": "secret"}
    nlp.config["paths"] = {**nlp.config["paths"], **secrets}
    nlp.vocab.strings.add("secretword")
    nlp.rename_pipe("bloom_transformer", "transformer")
    nlp.to_disk(tmp_path / "trained")
    bundle_demo.bundle(tmp_path / "trained", NAME, assets)
    files = [path for path in (assets / NAME).rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret" in path.read_bytes()]
    assert spacy.load(assets / NAME).component_names[0] == "bloom_transformer"
    found = spacy.load(assets / NAME)(TEXT)
    assert [ent.text for ent in found.ents] == [ent.text for ent in nlp(TEXT).ents] and found.cats


def test_one_component_is_replaced_and_the_others_stay(assets, tmp_path):
    nlp = spacy.load(assets / NAME)
    nlp.get_pipe("bloom_text_classifier").model.get_ref("output_layer").set_param(
        "b", numpy.eye(7, dtype="f")[0] * 9
    )
    nlp.get_pipe("bloom_token_classifier").cfg["temperature"] = 7.0
    nlp.to_disk(tmp_path / "trained")
    before = spacy.load(assets / NAME)
    bundle_demo.bundle(tmp_path / "trained", NAME, assets, only="bloom_text_classifier")
    after = spacy.load(assets / NAME)
    assert after.component_names == before.component_names
    assert after(TEXT).cats == nlp(TEXT).cats != before(TEXT).cats
    assert after.get_pipe("bloom_token_classifier").cfg == before.get_pipe("bloom_token_classifier").cfg
    assert [ent.text for ent in after(TEXT).ents] == [ent.text for ent in before(TEXT).ents]


def test_one_component_is_added(assets, tmp_path):
    whole = spacy.load(assets / NAME)
    alone = spacy.load(assets / NAME, exclude=["bloom_text_classifier"])
    alone.to_disk(assets / NAME)
    whole.to_disk(tmp_path / "trained")
    bundle_demo.bundle(tmp_path / "trained", NAME, assets, only="bloom_text_classifier")
    after = spacy.load(assets / NAME)
    assert after.component_names == whole.component_names
    assert after(TEXT).cats == whole(TEXT).cats
