import os
import signal
from types import SimpleNamespace

import pytest

from spacy_bloom.applying.apply import apply_pipeline
from spacy_bloom.applying.ray_actors import RayActors
from spacy_bloom.applying.shards import Shard
from spacy_bloom.errors import RankError

from .conftest import read_output

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    # Workers import this package from where the tests do.
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    memory = {"object_store_memory": 100 * 2**20}
    # Ray's handler would stay, also in forks of this process, where nobody is left to do what it asks for.
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(num_cpus=2, runtime_env={"env_vars": {"PYTHONPATH": path}}, **options, **memory)
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


class LastingActors(RayActors):
    """Actors that stay for what follows: each takes seconds to begin."""

    def close(self):
        pass


def test_actors_annotate_and_are_replaced(cluster, ruled, corpus, texts, tmp_path):
    engine = LastingActors(2)
    apply_pipeline(ruled, corpus, tmp_path / "one", shard_size=20)
    applied = apply_pipeline(ruled, corpus, tmp_path / "two", shard_size=20, engine=engine)
    assert applied.n_docs == 57 and not applied.failures
    one, two = (
        [(doc.text, doc.to_json()) for doc in read_output(tmp_path / name)] for name in ("one", "two")
    )
    assert one == two and [text for text, _ in one] == texts
    engine.begin(0, Shard("a.txt", 0, ".txt", [b"\xff"], 1))
    ((_, outcome),) = engine.wait(600)
    assert "text in UTF-8" in str(outcome)

    os.kill(ray.get(engine._actors[0].pid.remote()), signal.SIGKILL)
    engine.begin(0, Shard("a.txt", 0, ".txt", [b"Lima"], 1))
    ((_, outcome),) = engine.wait(600)
    assert isinstance(outcome, RankError)
    engine.begin(0, Shard("a.txt", 0, ".txt", [b"Lima"], 1))
    ((_, outcome),) = engine.wait(600)
    assert isinstance(outcome, bytes)
    RayActors.close(engine)
    assert ray.is_initialized(), "a cluster of the caller's is not ended"


@pytest.mark.parametrize(
    ("address", "cluster"), [(None, {"num_cpus": 3, "include_dashboard": False}), ("auto", {})]
)
def test_a_cluster_is_begun_and_ended_where_there_is_none(address, cluster):
    begun, made = {}, []
    engine = RayActors(3, address=address)
    engine._ray = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: begun.update(options),
        remote=lambda **resources: (
            lambda kind: SimpleNamespace(remote=lambda *arguments: made.append(arguments))
        ),
        kill=lambda actor: None,
        shutdown=lambda: begun.update(ended=True),
    )
    engine.start("pipeline", {"format": "jsonl"})
    assert {"address": address, **cluster}.items() <= begun.items() and ("num_cpus" in begun) == bool(cluster)
    assert made == [("pipeline", {"n_threads": 1, "gpu_id": -1, "format": "jsonl"})] * 3
    engine.close()
    assert begun["ended"]
