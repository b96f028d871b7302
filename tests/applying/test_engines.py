import os
import signal

from spacy_bloom.applying.engines import InProcess, Processes, _sendable
from spacy_bloom.applying.shards import Shard
from spacy_bloom.errors import InputError, RankError

GOOD = Shard("a.txt", 0, ".txt", [b"Ana en Lima\n"], 1)
BAD = Shard("a.txt", 1, ".txt", [b"\xff\n"], 1)


def outcome(engine, shard):
    engine.begin(0, shard)
    ((worker, result),) = engine.wait(240)
    assert worker == 0
    return result


def test_this_process(ruled):
    engine = InProcess()
    engine.start(str(ruled), {})
    assert isinstance(outcome(engine, GOOD), bytes)
    assert isinstance(outcome(engine, BAD), InputError)
    assert engine.wait(None) == []


def test_processes_outlive_errors_and_are_replaced(ruled, make_processes):
    engine = make_processes(1)
    engine.start(str(ruled), {})
    try:
        assert isinstance(outcome(engine, GOOD), bytes)
        assert "text in UTF-8" in str(outcome(engine, BAD))
        os.kill(engine._workers[0][0].pid, signal.SIGKILL)
        assert isinstance(outcome(engine, GOOD), RankError)
        assert engine.wait(0) == []
        assert isinstance(outcome(engine, GOOD), bytes)
        engine.begin(0, GOOD)
        engine.renew(0)
        assert isinstance(outcome(engine, GOOD), bytes)
    finally:
        engine.close()


def test_a_pipeline_that_cannot_be_loaded_is_the_shards_error(tmp_path):
    engine = Processes(1)  # started anew, as users have it
    engine.start(str(tmp_path / "missing"), {})
    try:
        assert "missing" in str(outcome(engine, GOOD))
    finally:
        engine.close()


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def test_errors_that_cannot_be_pickled_keep_their_words():
    assert str(_sendable(Unpicklable(1, 2))) == "Unpicklable: 1 2"
    error = InputError("no")
    assert _sendable(error) is error and _sendable(b"docs") == b"docs"
