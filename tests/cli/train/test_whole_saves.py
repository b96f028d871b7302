import json
import shutil

import pytest
import spacy
from spacy.training import loop

from spacy_bloom.cli.train.whole_saves import replacing_folder, saving_whole


class Killed(BaseException):
    """Ends the process where it is raised, as far as files can tell."""


class DyingTokenizer:
    def to_disk(self, path, **options):
        raise Killed()


def write(path, text):
    path.mkdir()
    (path / "file").write_text(text)


def test_a_folder_is_replaced_when_it_is_complete(tmp_path):
    write(tmp_path / "model", "old")
    with replacing_folder(tmp_path / "model") as partial:
        write(partial, "new")
        assert (tmp_path / "model" / "file").read_text() == "old"
    assert (tmp_path / "model" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_error_leaves_the_old_folder(tmp_path):
    write(tmp_path / "model", "old")
    with pytest.raises(OSError), replacing_folder(tmp_path / "model") as partial:
        write(partial, "new")
        raise OSError("disk full")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_after_a_kill_between_renames_the_old_folder_gets_its_name_back(tmp_path):
    write(tmp_path / ".model.old", "old")
    write(tmp_path / ".model.partial", "half")
    with pytest.raises(OSError), replacing_folder(tmp_path / "model"):
        raise OSError("disk full")
    assert (tmp_path / "model" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_spacys_saves_are_whole_and_given_back(tmp_path):
    nlp = spacy.blank("xx")
    write(tmp_path / "model-best", "of an earlier run")
    with saving_whole(nlp):
        loop.clean_output_dir(tmp_path)
        assert not list(tmp_path.iterdir())
        nlp.to_disk(tmp_path / "model-last")
        loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
        nlp.meta["name"] = "better"
        nlp.to_disk(tmp_path / "model-last")
        loop.shutil.rmtree(tmp_path / "model-best")
        assert (tmp_path / "model-best" / "meta.json").exists()  # until the better one is whole
        loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
        nlp.tokenizer = DyingTokenizer()
        with pytest.raises(Killed):
            nlp.to_disk(tmp_path / "model-last")
    for name in ("model-best", "model-last"):
        assert json.loads((tmp_path / name / "meta.json").read_text())["name"] == "better"
        spacy.load(tmp_path / name)
    assert loop.shutil is shutil and "to_disk" not in vars(nlp)
