import json
import time

import pytest

from spacy_bloom.applying.apply import TRIES, apply_pipeline
from spacy_bloom.applying.engines import InProcess
from spacy_bloom.errors import InputError, RankError

from .conftest import read_output


class Scripted:
    """Workers whose outcomes are told: by shard, what each try gives."""

    def __init__(self, script, n_workers=2):
        self.script, self.n_workers, self.can_renew = script, n_workers, True
        self.busy, self.begun, self.renewed, self.closed = {}, [], [], False

    def start(self, pipeline, options):
        self.options = options

    def begin(self, worker, shard):
        assert worker not in self.busy
        self.begun.append((shard.source, shard.number))
        self.busy[worker] = shard

    def wait(self, seconds):
        for worker, shard in list(self.busy.items()):
            outcomes = self.script.get((shard.source, shard.number))
            result = outcomes.pop(0) if outcomes else b"docs"
            if result is not None:
                del self.busy[worker]
                return [(worker, result)]
        time.sleep(0.001)
        return []

    def renew(self, worker):
        self.renewed.append(worker)
        del self.busy[worker]

    def close(self):
        self.closed = True


def test_every_text_becomes_a_doc_once_and_in_order(ruled, corpus, texts, tmp_path):
    told = []

    def begin(total, done):
        told.append((total, done))
        return told.append

    applied = apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=6, begin=begin)
    assert applied[:3] == (57, 4 + 5 + 2, 0) and not applied.failures
    assert told[0] == (57, 0) and sum(told[1:]) == 57
    docs = read_output(tmp_path / "out")
    assert [doc.text for doc in docs] == texts
    assert [[ent.text for ent in doc.ents] for doc in docs] == [
        ["Lima"] * text.split().count("Lima") for text in texts
    ]
    again = apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=6)
    assert again[:3] == (0, 0, 11)


def test_what_is_missing_is_done(ruled, corpus, texts, tmp_path):
    apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=6)
    (tmp_path / "out" / "a.txt.docs" / "000001.spacy").unlink()
    (tmp_path / "out" / "deep" / "c.spacy.docs" / "000001.spacy").unlink()
    told = []

    def begin(total, done):
        told.append((total, done))
        return told.append

    applied = apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=6, begin=begin)
    assert applied[:3] == (12, 2, 9) and told[0] == (57, 45)
    assert [doc.text for doc in read_output(tmp_path / "out")] == texts


def test_a_shard_has_three_tries(ruled, corpus, tmp_path):
    error = ValueError("no")
    engine = Scripted({("a.txt", 1): [error, RankError("gone")], ("a.txt", 2): [error] * TRIES})
    applied = apply_pipeline(ruled, corpus / "a.txt", tmp_path / "out", shard_size=6, engine=engine)
    assert engine.begun.count(("a.txt", 1)) == 3 and engine.begun.count(("a.txt", 2)) == TRIES
    assert applied[:2] == (14, 3) and engine.closed
    (failure,) = applied.failures
    assert failure == ("a.txt", 2, 6, "ValueError: no")
    (listed,) = json.loads((tmp_path / "out" / "failed.json").read_text())
    assert listed == failure._asdict()
    assert apply_pipeline(ruled, corpus / "a.txt", tmp_path / "out", shard_size=6)[:3] == (6, 1, 3)
    assert not (tmp_path / "out" / "failed.json").exists()


def test_late_workers_are_ended(ruled, corpus, tmp_path):
    engine = Scripted({("a.txt", 0): [None] * 10_000})
    applied = apply_pipeline(
        ruled, corpus / "a.txt", tmp_path / "out", shard_size=6, engine=engine, timeout=0.01
    )
    assert len(engine.renewed) == TRIES and applied.n_shards == 3
    assert "longer than 0.01 seconds" in applied.failures[0].error


def test_a_damaged_line_costs_its_shard_alone(ruled, corpus, tmp_path):
    with (corpus / "deep" / "b.jsonl").open("a") as file:
        file.write("{broken\n")
    applied = apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=6)
    (failure,) = applied.failures
    assert "deep/b.jsonl, row 26" in failure.error and applied.n_docs == 56


def test_processes_give_the_same_files(ruled, corpus, tmp_path, make_processes):
    apply_pipeline(ruled, corpus, tmp_path / "one", shard_size=20)
    apply_pipeline(ruled, corpus, tmp_path / "two", shard_size=20, engine=make_processes(2))
    one, two = (
        [(doc.text, doc.to_json()) for doc in read_output(tmp_path / name)] for name in ("one", "two")
    )
    assert one == two and len(one) == 57


def test_a_killed_run_goes_on(ruled, corpus, texts, tmp_path, python_spacy):
    code = (
        "import sys; from pathlib import Path; from spacy_bloom.applying import apply_pipeline; import time\n"
        "pipeline, texts, out = map(Path, sys.argv[1:])\n"
        "def begin(total, done):\n    return lambda n: time.sleep(0.2)\n"
        "apply_pipeline(pipeline, texts, out, shard_size=2, begin=begin)\n"
    )
    process = python_spacy.start("-c", code, ruled, corpus, tmp_path / "out")
    limit = time.monotonic() + 120
    while len(list((tmp_path / "out").rglob("*.spacy"))) < 3 and time.monotonic() < limit:
        time.sleep(0.02)
    process.kill()
    process.wait(60)
    n_before = len(list((tmp_path / "out").rglob("*.spacy")))
    assert 3 <= n_before < 29
    applied = apply_pipeline(ruled, corpus, tmp_path / "out", shard_size=2)
    assert applied.n_before == n_before and applied.n_before + applied.n_shards == 10 + 13 + 6
    assert [doc.text for doc in read_output(tmp_path / "out")] == texts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_size": 0}, "at least 1"),
        ({"timeout": 5.0}, "no time limit"),
        ({"timeout": 5.0, "engine": InProcess()}, "no time limit"),
    ],
)
def test_options_are_checked(ruled, corpus, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        apply_pipeline(ruled, corpus, tmp_path / "out", **options)
