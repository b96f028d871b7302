import json
import os
import stat

import pytest

from spacy_bloom import files
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.files import (
    MAX_DEPTH,
    check_depth,
    found_instead,
    partial_path,
    read_json,
    remove_folder,
    replacing,
    replacing_folder,
    replacing_together,
    to_json,
    write_file,
    writing_alone,
)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("content", ["", "a\nb\r\né", b"", b"\xff\x00"])
def test_a_file_is_replaced(tmp_path, content):
    expected = content.encode("utf8") if isinstance(content, str) else content
    for old in (None, b"old", expected):
        if old is not None:
            (tmp_path / "a").write_bytes(old)
        write_file(tmp_path / "a", content)
        assert contents(tmp_path) == {"a": expected}


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(tmp_path, old, error):
    if old is not None:
        (tmp_path / "a").write_bytes(old)
    before = contents(tmp_path)
    with pytest.raises(type(error)), replacing(tmp_path / "a") as partial:
        partial.write_bytes(b"half")
        assert partial.parent == tmp_path  # elsewhere, a rename may be a copy
        raise error
    assert contents(tmp_path) == before


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_files_take_their_names_together(tmp_path, fails_at):
    (tmp_path / "b").write_bytes(b"old")
    seen = []

    def before(paths):
        seen.append(([path.name for path in paths], contents(tmp_path)["b"]))

    with pytest.raises(OSError), replacing_together(tmp_path, before=before) as replace:
        for i, name in enumerate("abc"):
            if i == fails_at:
                raise OSError
            replace(name).write_bytes(b"new")
    assert contents(tmp_path) == {"b": b"old"} and not seen
    with replacing_together(tmp_path, before=before) as replace:
        for name in "cab":
            replace(name).write_bytes(b"new")
    assert contents(tmp_path) == dict.fromkeys("abc", b"new")
    assert seen == [(["c", "a", "b"], b"old")]


def test_files_are_on_the_disk_before_they_take_their_names(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("flush"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    with replacing_together(tmp_path) as take:
        take("a").write_bytes(b"1")
        take("b").write_bytes(b"2")
    assert done == ["flush", "flush", "rename", "rename", "flush"]


def test_what_is_equal_is_not_replaced(tmp_path, monkeypatch):
    """Where a file is mapped, Windows refuses to replace it; that weights did not change is the usual case."""
    write_file(tmp_path / "a", b"x" * 3000)

    def refuse(*paths):
        raise PermissionError("the file is mapped")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files, "CHUNK", 1000)
    write_file(tmp_path / "a", b"x" * 3000)
    for other in (b"x" * 2999, b"x" * 2999 + b"y", b"y" + b"x" * 2999, b""):
        with pytest.raises(PermissionError):
            write_file(tmp_path / "a", other)
        assert contents(tmp_path) == {"a": b"x" * 3000}


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_files_have_the_mode_that_the_user_gives(tmp_path):
    with replacing(tmp_path / "a") as partial:
        partial.write_bytes(b"")
        partial.chmod(0o600)  # as safetensors does
    (tmp_path / "b").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes[0] == modes[1]


def test_what_a_killed_process_left_is_written_over(tmp_path):
    partial_path(tmp_path / "a").write_bytes(b"a longer half")
    write_file(tmp_path / "a", b"new")
    assert contents(tmp_path) == {"a": b"new"}


def test_json(tmp_path):
    values = {"b": [1, None], "a": {"é": 1.5}}
    write_file(tmp_path / "a.json", to_json(values))
    assert read_json(tmp_path / "a.json") == values
    assert (
        to_json(values)
        == to_json(dict(reversed(values.items())))
        == json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    )


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match="is not JSON"):
        read_json(tmp_path / "a.json")


INSTEAD = {
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "is empty": b"",
    "is a web page": b"\n<!DOCTYPE html>\n<html><title>Sign in</title>",
}


@pytest.mark.parametrize("told", INSTEAD)
def test_what_a_download_left_is_named(tmp_path, told):
    (tmp_path / "a.json").write_bytes(INSTEAD[told])
    assert told in found_instead(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=f"is not JSON.*{told}"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"{}", b"\x80\x04N.", b"version 1", b"<s>"])
def test_other_content_is_not_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert found_instead(tmp_path / "a") == found_instead(tmp_path / "missing") == ""


def fill(path, text):
    path.mkdir()
    (path / "file").write_text(text)


def test_a_folder_is_replaced_when_it_is_complete(tmp_path):
    fill(tmp_path / "model", "old")
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "file").write_text("new")
        assert (tmp_path / "model" / "file").read_text() == "old"
    assert (tmp_path / "model" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_error_leaves_the_old_folder(tmp_path):
    fill(tmp_path / "model", "old")
    with pytest.raises(OSError), replacing_folder(tmp_path / "model") as partial:
        (partial / "file").write_text("new")
        raise OSError("disk full")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_after_a_kill_between_renames_the_old_folder_gets_its_name_back(tmp_path):
    fill(tmp_path / ".model.old", "old")
    fill(tmp_path / ".model.partial", "half")
    with pytest.raises(OSError), replacing_folder(tmp_path / "model"):
        raise OSError("disk full")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_exchanged_in_one_step(tmp_path, monkeypatch):
    """Two renames would leave a moment without any."""
    fill(tmp_path / "model", "old")
    names, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (names.append(paths), replace(*paths)))
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "file").write_text("new")
    if files._exchange(tmp_path, tmp_path):
        assert names == []
    assert (tmp_path / "model" / "file").read_text() == "new"
    monkeypatch.setattr(files, "_exchange", lambda *paths: False)
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "file").write_text("newer")
    assert (tmp_path / "model" / "file").read_text() == "newer" and len(names) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    done, fsync, exchange = [], os.fsync, files._put_in_place
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.fstat(fd).st_ino), fsync(fd)))
    monkeypatch.setattr(files, "_put_in_place", lambda *paths: (done.append("name"), exchange(*paths)))
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "part").mkdir()
        (partial / "part" / "file").write_text("new")
    written = [path.stat().st_ino for path in (*(tmp_path / "model").rglob("*"), tmp_path / "model")]
    at = done.index("name")
    assert sorted(done[:at]) == sorted(written) and done[at + 1 :] == [tmp_path.stat().st_ino]


def test_a_folder_that_is_removed_is_never_half_there(tmp_path, monkeypatch):
    fill(tmp_path / "model", "old")
    fill(tmp_path / ".model.partial", "of a process that was killed")
    left = []
    rmtree = files.shutil.rmtree
    monkeypatch.setattr(files.shutil, "rmtree", lambda path, **o: (left.append(path.name), rmtree(path, **o)))
    remove_folder(tmp_path / "model")
    assert set(left) == {".model.partial"} and not list(tmp_path.iterdir())


def run_in_fork(work):
    """RETURNS (int): Exit code of a process that does something and ends."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except InputError:
            os._exit(3)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(os.name != "posix", reason="Windows locks no folders")
def test_two_processes_do_not_write_to_one_folder(tmp_path):
    def write():
        with writing_alone(tmp_path, wait=0):
            pass

    with writing_alone(tmp_path):
        write()  # this thread has it already
        assert run_in_fork(write) == 3
    assert run_in_fork(write) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows locks no folders")
def test_a_second_writer_waits_for_the_first(tmp_path, monkeypatch):
    """Both write to the same partial names: without a lock, the second would write into the files of the first."""

    def write():
        with replacing_folder(tmp_path / "model") as partial:
            (partial / "file").write_text("second")

    monkeypatch.setattr(files, "WAIT", 0.0)
    monkeypatch.setattr(writing_alone.__wrapped__, "__kwdefaults__", {"wait": 0.0})
    fill(tmp_path / "model", "old")
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "file").write_text("first")
        assert run_in_fork(write) == 3
        assert (partial / "file").read_text() == "first"
    assert (tmp_path / "model" / "file").read_text() == "first"
    assert run_in_fork(write) == 0
    assert (tmp_path / "model" / "file").read_text() == "second"
    with replacing(tmp_path / "a") as partial:
        partial.write_text("first")
        assert run_in_fork(lambda: write_file(tmp_path / "a", "second")) == 3
    assert contents(tmp_path / "model") == {"file": b"second"} and (tmp_path / "a").read_text() == "first"


def test_depth_of_json():
    values = 0
    for depth in range(MAX_DEPTH - 1):
        values = [values] if depth % 2 else {"a": values, "b": "text"}
    check_depth(values, "here")
    with pytest.raises(ConfigError, match=f"Expected here to be nested at most {MAX_DEPTH} times"):
        check_depth([values], "here")
