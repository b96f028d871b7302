"""Entities keep their characters on the way from words and tags to Docs."""

from pathlib import Path

import pytest

from spacy_bloom.corpora.conll import entities_of, grouped, read_conll, read_sentences, running_text
from spacy_bloom.corpora.files import DataFile
from spacy_bloom.errors import InputError

DATA = Path(__file__).parents[3] / "shared" / "data" / "ner"


@pytest.mark.parametrize(
    "tags, entities",
    [
        ("O O", []),
        ("B-A I-A B-A O", [(0, 2, "A"), (2, 3, "A")]),
        ("I-A I-B O I-B", [(0, 1, "A"), (1, 2, "B"), (3, 4, "B")]),
    ],
)
def test_entities_of_tags(tags, entities):
    assert entities_of(tags.split()) == entities


def test_entities_keep_their_characters():
    words = ["Ele", "mora", "em", "o", "Rio", "de", "o", "Sul", "."]
    tags = ["O", "O", "O", "O", "B-LOC", "I-LOC", "I-LOC", "I-LOC", "O"]
    text, [(start, end, label)] = running_text(words, tags, "pt")
    assert (text, text[start:end], label) == ("Ele mora no Rio do Sul.", "Rio do Sul", "LOC")


def test_a_contraction_does_not_cross_the_border_of_an_entity():
    words, tags = ["jornal", "de", "O", "Globo"], ["O", "O", "B-ORG", "I-ORG"]
    text, [(start, end, _)] = running_text(words, tags, "pt")
    assert (text, text[start:end]) == ("jornal de O Globo", "O Globo")


def test_groups():
    sentences = [("Ana.", [(0, 3, "PER")]), ("Bo.", [(0, 2, "PER")]), ("Cy.", [])]
    together = [("Ana. Bo.", [(0, 3, "PER"), (5, 7, "PER")]), ("Cy.", [])]
    assert list(grouped(sentences, 2, " ")) == together
    assert [text for text, _ in grouped(sentences, 1, " ")] == ["Ana.", "Bo.", "Cy."]


@pytest.mark.parametrize(
    "text",
    [
        "Ana\tB-PER\n\n\n1980\tO\n#\tO",
        "-DOCSTART- -X- -X- O\n\nAna NNP I-NP S-PER\n\n1980 CD I-NP O\n# SYM O O\n",  # CoNLL 2003, BIOES
        "# sent_id = 1\n1\tAna\tB-PER\t-\tx\n\n1\t1980\tO\t-\tx\r\n2\t#\tO\t-\tx\n",  # Universal NER
        "\ufeffAna\tU-PER\n \n1980\tO\n#\tO\n",  # BILUO
    ],
)
def test_columns(write, text):
    expected = [(["Ana"], ["B-PER"]), (["1980", "#"], ["O", "O"])]
    assert list(read_sentences(write("en.dev.conll", text))) == expected


def test_an_entity_of_bioes_tags_is_one(write):
    file = write("en.dev.conll", "New\tB-LOC\nYork\tE-LOC\nmet\tO\nA\tB-X\nB\tI-X\nC\tL-X\n")
    [(_, tags)] = read_sentences(file)
    assert entities_of(tags) == [(0, 2, "LOC"), (3, 6, "X")]


@pytest.mark.parametrize("bad", ["Ana", "Ana\tPER", "\tO", "Ana B"])
def test_lines_that_are_not_understood(write, bad):
    with pytest.raises(InputError, match="line 2.*expected a token"):
        list(read_sentences(write("en.dev.conll", f"ok\tO\n{bad}\n")))


def test_samples(write, nlp):
    file = write("zh.train.conll", "北京\tB-LOC\n大\tO\n\n李明\tB-PER\n来\tO\n")
    one, two = read_conll(nlp, file, labels=["LOC"])
    assert [ent.text for ent in one.doc.ents] == ["北京"] and not two.doc.ents
    assert (one.name, one.split, one.counts) == ("zh", "train", {"exact": 1})
    assert two.doc.user_data["lang"] == "zh" and all(token.ent_iob for token in two.doc)
    [both] = read_conll(nlp, file, group=2)
    assert both.doc.text == "北京大李明来" and both.counts == {"exact": 2}


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared NER data is not beside the checkout (../shared/data/ner)"
)
@pytest.mark.parametrize("lang", ["ar", "hi", "pt", "te", "ur", "zh_hant"])
def test_real_entities_fall_on_token_borders(nlp, lang):
    file = DataFile(DATA / f"{lang}.test.conll", lang, "test")
    samples = list(read_conll(nlp, file))
    gold = sum(len(entities_of(tags)) for _, tags in read_sentences(file))
    counts = {
        name: sum(sample.counts[name] for sample in samples) for name in ("exact", "expanded", "dropped")
    }
    assert sum(counts.values()) == gold
    assert counts["exact"] >= 0.99 * gold and counts["dropped"] <= 1
    assert sum(len(sample.doc.ents) for sample in samples) == gold - counts["dropped"]
