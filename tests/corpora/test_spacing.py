"""Words are written as they would stand in print."""

import pytest

from spacy_bloom.corpora.conll import running_text
from spacy_bloom.corpora.spacing import gaps, is_unspaced


def written(words, lang):
    return running_text(words.split(), ["O"] * len(words.split()), lang)[0]


@pytest.mark.parametrize(
    "lang, words, text",
    [
        ("en", "I do n't like Ann 's hat , he said .", "I don't like Ann's hat, he said."),
        ("en", 'He said : " Is it ( really ) 5 % ? "', 'He said: "Is it (really) 5%?"'),
        ("en", 'No more " , she said : " and go .', 'No more", she said: "and go.'),
        ("en", "the boys ' well - known and / or $ 5 room :)", "the boys' well-known and/or $5 room :)"),
        ("en", "I went -- late - ... and left", "I went -- late -... and left"),
        (
            "fr",
            "L' eau « froide » coule ; qu' il dit : a-t -il soif ?",
            "L'eau « froide » coule ; qu'il dit : a-t-il soif ?",
        ),
        ("fr", "C' est ( vrai ) , aujourd'hui .", "C'est (vrai), aujourd'hui."),
        ("ca", "L' home d' ahir - diu - se 'n va , ¿ oi ?", "L'home d'ahir - diu - se'n va, ¿oi?"),
        ("pt", "Em o jornal « Voz » de a cidade a as 5 h", "No jornal «Voz» da cidade às 5 h"),
        ("pt", "por os de este lado DE O MAR a aquela", "pelos deste lado DO MAR àquela"),
        ("id", 'kata - kata " baru " di kota / desa', 'kata-kata "baru" di kota/desa'),
        ("ar", "قال ( أمس )، نعم ؛ لماذا ؟", "قال (أمس)، نعم؛ لماذا؟"),
        ("ur", "یہ ’ اچھا ‘ پیشہ_ورانہ کام ہے ۔ کیا ؟", "یہ ’اچھا‘ پیشہ ورانہ کام ہے۔ کیا؟"),
        ("hi", "साथ - साथ ' घर ' है । 1 - पहला", "साथ-साथ 'घर' है। 1 - पहला"),
        ("ne", "यो घर हो ।", "यो घर हो।"),
        ("te", "ఇది ( మంచి ) , ' పుస్తకం ' .", "ఇది (మంచి), 'పుస్తకం'."),
        ("zh", "他 在 1960 年代 说 ： “ 你好 ” 。", "他在1960年代说：“你好”。"),
        ("zh", "看 New York Times 和 iPhone 15 吧", "看New York Times和iPhone 15吧"),
        ("zh_hant", "他 說 「 好 」 ， 是 《 書 》 。", "他說「好」，是《書》。"),
    ],
)
def test_running_text(lang, words, text):
    assert written(words, lang) == text


def test_no_character_is_lost():
    words = [
        "a",
        "(",
        "b",
        ")",
        "'",
        "c",
        '"',
        "d",
        "``",
        "e",
        "''",
        "-",
        "/",
        "$",
        ",",
        "...",
        "«",
        "f",
        "»",
        "l'",
        "'n",
        ")",
        "(",
        "。",
        "中",
        "x_y",
    ]
    for lang in ("ar", "ca", "en", "fr", "hi", "id", "ne", "te", "zh"):
        text, _ = running_text(words, ["O"] * len(words), lang)
        assert text.replace(" ", "") == "".join(words)


def test_languages_without_spaces():
    assert [is_unspaced(lang) for lang in ("zh", "zh_hant", "th", "en", "zhx")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert gaps(["ฉัน", "ชอบ", "BLOOM", "มาก"], "th") == ["", "", ""]
    assert gaps(["私", "は", "GPU", "2", "台"], "ja") == ["", "", " ", ""]
