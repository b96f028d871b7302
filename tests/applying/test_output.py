import json

import pytest

from spacy_bloom.applying.output import Output
from spacy_bloom.applying.shards import Shard, find_sources
from spacy_bloom.errors import InputError

SETTINGS = {"shard_size": 10, "format": "spacy", "text_key": "text"}


@pytest.fixture()
def make(tmp_path, ruled, corpus):
    def make(force=False, pipeline=ruled, **changed):
        return Output(
            tmp_path / "out", pipeline, corpus, find_sources(corpus), {**SETTINGS, **changed}, force=force
        )

    return make


def test_shards_that_are_written_are_done(make):
    with make() as place:
        place.write(Shard("deep/b.jsonl", 3, ".jsonl", [], 0), b"docs")
        assert place.done("deep/b.jsonl") == {3} and place.done("a.txt") == set()
    with make() as place:
        assert place.done("deep/b.jsonl") == {3}
    assert (place.folder / "deep" / "b.jsonl.docs" / "000003.spacy").read_bytes() == b"docs"


def test_half_written_files_are_not_done(make):
    with make() as place:
        (place.folder / "a.txt.docs").mkdir()
        (place.folder / "a.txt.docs" / ".000000.spacy.partial").write_bytes(b"half")
        assert place.done("a.txt") == set()


@pytest.mark.parametrize("change", ["shard_size", "pipeline", "sources"])
def test_another_origin_is_refused_or_begun_anew(make, corpus, tmp_path, change):
    with make() as place:
        place.write(Shard("a.txt", 0, ".txt", [], 0), b"docs")
    changed = {}
    if change == "sources":
        (corpus / "a.txt").write_text("other")
    else:
        changed[change] = 20 if change == "shard_size" else "another"
    with pytest.raises(InputError, match=f"another {change}"), make(**changed):
        pass
    assert (tmp_path / "out" / "a.txt.docs" / "000000.spacy").exists()
    with make(force=True, **changed) as place:
        assert place.done("a.txt") == set()


def test_a_copy_of_the_pipeline_is_the_same(make, ruled, tmp_path):
    import shutil

    with make() as place:
        place.write(Shard("a.txt", 0, ".txt", [], 0), b"docs")
    with make(pipeline=shutil.copytree(ruled, tmp_path / "copy")) as place:
        assert place.done("a.txt") == {0}


def test_one_run_writes_at_a_time(make):
    with make(), pytest.raises(InputError, match="Another run"), make():
        pass
    with make():
        pass


def test_names_of_an_earlier_run_stay_below_the_folder(make, tmp_path):
    other = tmp_path / "other.docs"
    other.mkdir()
    (other / "000000.spacy").write_bytes(b"mine")
    with make() as place:
        pass
    about = json.loads((place.folder / "apply.json").read_text())
    about["sources"] = {"../other": 1, str(other): 1}
    (place.folder / "apply.json").write_text(json.dumps(about))
    with make(force=True):
        pass
    assert (other / "000000.spacy").exists()


def test_failures_are_listed_and_forgotten(make):
    with make() as place:
        place.write_failures([{"source": "a.txt", "number": 0}])
        assert json.loads((place.folder / "failed.json").read_text()) == [{"source": "a.txt", "number": 0}]
        place.write_failures([])
        assert not (place.folder / "failed.json").exists()


def test_a_file_is_no_folder(make, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="a folder or a new name"), make():
        pass
