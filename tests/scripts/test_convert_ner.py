import importlib.util
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "ner"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script("convert_ner")
NLP = spacy.blank(
    "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
)


def written(words, lang):
    words = words.split()
    return script.running_text(words, ["O"] * len(words), lang)[0]


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
        text, _ = script.running_text(words, ["O"] * len(words), lang)
        assert text.replace(" ", "") == "".join(words)


@pytest.mark.parametrize(
    "tags, entities",
    [
        ("O O", []),
        ("B-A I-A B-A O", [(0, 2, "A"), (2, 3, "A")]),
        ("I-A I-B O I-B", [(0, 1, "A"), (1, 2, "B"), (3, 4, "B")]),
    ],
)
def test_entities_of_tags(tags, entities):
    assert script.entities_of(tags.split()) == entities


def test_entities_keep_their_characters():
    words, tags = (
        ["Ele", "mora", "em", "o", "Rio", "de", "o", "Sul", "."],
        ["O", "O", "O", "O", "B-LOC", "I-LOC", "I-LOC", "I-LOC", "O"],
    )
    text, [(start, end, label)] = script.running_text(words, tags, "pt")
    assert (text, text[start:end], label) == ("Ele mora no Rio do Sul.", "Rio do Sul", "LOC")


def test_a_contraction_does_not_cross_the_border_of_an_entity():
    words, tags = ["jornal", "de", "O", "Globo"], ["O", "O", "B-ORG", "I-ORG"]
    text, [(start, end, _)] = script.running_text(words, tags, "pt")
    assert (text, text[start:end]) == ("jornal de O Globo", "O Globo")


def test_entities_on_tokens():
    counts = Counter()
    doc = script.make_doc(NLP, "他在北京见l'ONU。", [(2, 4, "LOC"), (7, 10, "ORG")], counts)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("北京", "LOC"), ("ONU", "ORG")]
    assert all(token.ent_iob for token in doc)  # outside, not missing
    assert counts == {"exact": 2, "docs": 1, "tokens": len(doc)}


def test_entities_inside_tokens_are_expanded_and_counted():
    counts = Counter()
    doc = script.make_doc(NLP, "covid2 and covid19", [(5, 6, "NUM"), (11, 18, "X"), (16, 18, "NUM")], counts)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("covid2", "NUM"), ("covid19", "X")]
    assert (counts["exact"], counts["expanded"], counts["dropped"]) == (1, 1, 1)


def test_groups():
    sentences = [("Ana.", [(0, 3, "PER")]), ("Bo.", [(0, 2, "PER")]), ("Cy.", [])]
    assert list(script.grouped(sentences, 2, " ")) == [
        ("Ana. Bo.", [(0, 3, "PER"), (5, 7, "PER")]),
        ("Cy.", []),
    ]
    assert [text for text, _ in script.grouped(sentences, 1, " ")] == ["Ana.", "Bo.", "Cy."]


def test_read_conll(tmp_path):
    path = tmp_path / "en.dev.conll"
    path.write_text("Ana\tB-PER\n\n\nruns\tO\n.\tO", encoding="utf8")
    assert list(script.read_conll(path)) == [(["Ana"], ["B-PER"]), (["runs", "."], ["O", "O"])]
    for bad in ("Ana", "Ana\tPER", "Ana\tO\tO", "\tO"):
        path.write_text(f"ok\tO\n{bad}\n", encoding="utf8")
        with pytest.raises(ValueError, match="line 2.*expected a token"):
            list(script.read_conll(path))


def test_convert(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for split in ("train", "dev", "test"):
        (source / f"en.{split}.conll").write_text("Ana\tB-PER\nsings\tO\n\n" * 5, encoding="utf8")
        (source / f"zh.{split}.conll").write_text("北京\tB-LOC\n大\tO\n\n" * 4, encoding="utf8")
    report = script.convert(source, tmp_path / "one", group=2, seed=1)
    script.convert(source, tmp_path / "two", group=2, seed=1)
    names = [
        "dev.en.spacy",
        "dev.spacy",
        "dev.zh.spacy",
        "test.en.spacy",
        "test.spacy",
        "test.zh.spacy",
        "train.spacy",
    ]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    assert report["zh", "train"] == {"docs": 2, "tokens": 12, "exact": 4}
    docs = load(tmp_path / "one" / "train.spacy")
    assert [doc.text for doc in docs] == [doc.text for doc in load(tmp_path / "two" / "train.spacy")]
    assert Counter(doc.user_data["lang"] for doc in docs) == {"en": 3, "zh": 2}
    assert {doc.text for doc in docs} == {"Ana sings Ana sings", "Ana sings", "北京大北京大"}
    only = script.convert(source, tmp_path / "three", languages=["en"], labels=["LOC"])
    assert {lang for lang, _ in only} == {"en"} and not only["en", "train"]["exact"]
    with pytest.raises(ValueError, match="no file"):
        script.convert(tmp_path, tmp_path / "four")
    script.convert(source, tmp_path / "one", languages=["zh"])  # nothing of the other selection is left
    assert not list((tmp_path / "one").glob("*.en.spacy"))
    (source / "en.web.dev.conll").write_text("Ana\tB-PER\n\n", encoding="utf8")
    with pytest.raises(ValueError, match=r"two files of en, dev; one is en\.web\.dev\.conll"):
        script.convert(source, tmp_path / "five")


def load(path):
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(NLP.vocab))


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared NER data is not beside the checkout (../shared/data/ner)"
)
@pytest.mark.parametrize(
    "lang", ["ar", "ca", "en", "fr", "hi", "id", "ne", "pt", "te", "ur", "zh", "zh_hant"]
)
def test_real_entities_fall_on_token_borders(lang):
    path = DATA / f"{lang}.test.conll"
    docs, counts = script.convert_file(NLP, path, lang)
    gold = sum(len(script.entities_of(tags)) for _, tags in script.read_conll(path))
    assert counts["exact"] + counts["expanded"] + counts["dropped"] == gold
    assert counts["exact"] >= 0.99 * gold and counts["dropped"] <= 1
    assert sum(len(doc.ents) for doc in docs) == gold - counts["dropped"]
