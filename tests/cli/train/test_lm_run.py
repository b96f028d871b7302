"""Texts are found by directory, name and pattern."""

import pytest

from spacy_bloom.cli.train.lm_run import find_texts
from spacy_bloom.errors import InputError


@pytest.fixture
def text(tmp_path):
    for name in ("en", "hi"):
        (tmp_path / f"{name}.txt").write_text("a line")
    return tmp_path


def test_find_texts(text):
    en, hi = text / "en.txt", text / "hi.txt"
    assert find_texts(str(text)) == {"en": en, "hi": hi}
    assert find_texts(str(text / "*n.txt")) == {"en": en}
    assert find_texts([str(hi), str(text)]) == {"hi": hi, "en": en}
    (text / "more").mkdir()
    (text / "more" / "en.txt").write_text("x")
    assert find_texts(str(text / "**" / "en.txt")).keys() == {str(en), str(text / "more" / "en.txt")}
    with pytest.raises(InputError):
        find_texts([])
