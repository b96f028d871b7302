"""The names of files say what is in them."""

import pytest

from spacy_bloom.corpora.files import find_data_files, names_in
from spacy_bloom.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("zh_hant.train.x", "en.train.x", "en_ewt-ud-dev.x", "train.x", "reviews.x", "en.dev.web.y"):
        (tmp_path / name).touch()
    return tmp_path


def test_names_splits_and_languages(folder):
    files = find_data_files(folder, [".x"], default="fr")
    assert [(file.name, file.split, file.lang) for file in files] == [
        ("en", "train", "en"),
        ("fr", "train", "fr"),
        ("zh_hant", "train", "zh"),
        ("en_ewt", "dev", "en"),
        ("reviews", None, "reviews"),
    ]
    assert names_in(folder, [".x", ".y"], "xx") == {"en", "xx", "zh_hant", "en_ewt", "reviews", "en.dev.web"}
    assert [file.path.name for file in find_data_files(folder / "train.x", [".y"])] == ["train.x"]


def test_choosing(folder):
    def chosen(**options):
        return [file.name for file in find_data_files(folder, [".x"], **options)]

    assert chosen(names=["en*"]) == ["en", "en_ewt"] and chosen(names=["en*"], exclude=["*_ewt"]) == ["en"]
    with pytest.raises(InputError, match=r"no data set called \['de'\]; it has \['en', 'en_ewt'"):
        chosen(names=["en", "de"])
    with pytest.raises(InputError, match="holds no file of the chosen data sets"):
        chosen(exclude=["*"])


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(InputError, match=r"holds no file .*NAME\.\{train,dev,test\}\.z"):
        find_data_files(folder, [".z"])
    (folder / "en.web.train.x").touch()
    with pytest.raises(InputError, match=r"two files of en, train; one is en\.web\.train\.x"):
        find_data_files(folder, [".x"])
