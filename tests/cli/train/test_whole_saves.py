import json
import shutil

import pytest
import spacy
from spacy.training import loop

from spacy_bloom.cli.train.whole_saves import saving_whole


class Killed(BaseException):
    """Ends the process where it is raised, as far as files can tell."""


class DyingTokenizer:
    def to_disk(self, path, **options):
        raise Killed()


def write(path, text):
    path.mkdir()
    (path / "file").write_text(text)


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
