import json
import random

import numpy
import pytest
import spacy
import torch
from spacy.training import loop
from spacy.util import load_config

from spacy_bloom.cli.train.shared_updates import SharedPipeline, checksum, sharing_updates


def rows(report, name):
    return [json.loads(row) for row in (report["folder"] / f"{name}.jsonl").read_text().splitlines()]


def test_losses_and_scores_are_those_of_one_rank(report):
    assert report["one"][0] == [0] and report["two"][0] == [0, 0], report["errors"]
    one, two = rows(report, "one"), rows(report, "two")
    assert [row["step"] for row in one] == [row["step"] for row in two] == [0, 2, 4, 6]
    for expected, found in zip(one, two, strict=True):
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
        assert found["scores"] == pytest.approx(expected["scores"], abs=1e-4)
        assert found["score"] == pytest.approx(expected["score"], abs=1e-4)
    assert one[0]["losses"] != one[-1]["losses"]


def test_the_saved_pipelines_are_those_of_one_rank(report):
    for name in ("model-last", "model-best"):
        one, two = (report["folder"] / n / name for n in ("one", "two"))
        first, second = load_config(one / "config.cfg"), load_config(two / "config.cfg")
        for config in (first, second):
            config["training"]["logger"].pop("output_file")
        assert first == second and first["training"]["accumulate_gradient"] == 2
        doc_of_one, doc_of_two = (spacy.load(path)("Omar went to Lima and back") for path in (one, two))
        assert [(e.text, e.label_) for e in doc_of_one.ents] == [(e.text, e.label_) for e in doc_of_two.ents]
        assert doc_of_one.cats == pytest.approx(doc_of_two.cats, abs=1e-4)
        assert [token.tag_ for token in doc_of_one] == [token.tag_ for token in doc_of_two]


def test_only_the_first_rank_speaks_of_what_it_saves(report):
    first, second = report["two"][2]
    assert "on 2 ranks" in first and "Saved pipeline" in first and "Saved pipeline" not in second


@pytest.mark.parametrize("kind", ["killed", "raises", "hangs", "first killed"])
def test_when_a_rank_fails_the_other_ends_and_the_last_pipeline_is_whole(report, kind):
    codes, _, _ = report[kind]
    failed = {"killed": [1, -9], "raises": [1, 1], "hangs": [1, -9], "first killed": [-9, 1]}[kind]
    assert codes == failed, report["errors"]
    output = report["folder"] / kind
    assert sorted(path.name for path in output.iterdir()) == ["model-best", "model-last"]
    for name in ("model-best", "model-last"):
        assert spacy.load(output / name)("Omar went to Lima").has_annotation("TAG")


def test_one_process_is_seeded_by_sub_batch_and_leaves_the_random_states(monkeypatch):
    nlp = spacy.blank("xx")
    drawn = []
    monkeypatch.setattr(nlp, "update", lambda part, **options: drawn.append((random.random(), len(part))))
    monkeypatch.setattr("spacy_bloom.cli.train.shared_updates.add_up", lambda weights, batch: None)
    monkeypatch.setattr("spacy_bloom.cli.train.shared_updates._sums", lambda losses: losses)
    examples = [spacy.training.Example.from_dict(nlp.make_doc("a b " * n), {}) for n in range(1, 6)]
    states = random.getstate(), numpy.random.get_state()[1].copy(), torch.get_rng_state()
    for _ in range(2):
        shared = SharedPipeline(nlp, 2, seed=1)
        shared.update(examples, losses={})
        shared.update(examples, losses={})
    assert drawn[:6] == drawn[6:] and len({draw for draw, _ in drawn}) == 6
    assert [size for _, size in drawn[:3]] == [2, 2, 1]
    assert random.getstate() == states[0] and numpy.array_equal(numpy.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_spacys_loop_is_given_back():
    before = loop.train_while_improving
    with sharing_updates(0):
        assert loop.train_while_improving is not before
    assert loop.train_while_improving is before


def test_the_checksum_knows_weights_and_labels():
    def pipeline(label, seed=0):
        numpy.random.seed(seed)
        nlp = spacy.blank("xx")
        nlp.add_pipe("tagger").add_label(label)
        nlp.initialize()
        return checksum(nlp)

    assert pipeline("A") == pipeline("A")
    assert len({pipeline("A"), pipeline("B"), pipeline("A", seed=1)}) == 3
