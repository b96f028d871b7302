import random

import cloze_questions
import pytest
import spacy
from spacy.tokens import DocBin, Span

from spacy_bloom.pipeline.answering.answers import get_answers

SENTENCES = [
    ("en", "Ana lives in Lima near Rio .", [("PER", "Ana"), ("LOC", "Lima"), ("LOC", "Rio")]),
    ("te", "Nobody asks in this language about Ana .", [("PER", "Ana")]),
    ("en", "Wei bought 12 books in 1999 and read Ana .", [("PER", "Wei"), ("PER", "Ana")]),
    ("en", "", []),
    ("zh", "今天 Wei 在 Paris 。", [("PER", "Wei"), ("LOC", "Paris")]),
]


@pytest.fixture
def corpus():
    nlp = spacy.blank("xx")
    docs = []
    for lang, text, names in SENTENCES:
        doc = nlp.make_doc(text)
        doc.user_data["lang"] = lang
        spans = [
            (doc.char_span(text.index(name), text.index(name) + len(name)), kind) for kind, name in names
        ]
        doc.ents = [Span(doc, span.start, span.end, label=kind) for span, kind in spans]
        docs.append(doc)
    return docs


def test_questions_are_made_of_what_stands_around_their_answers(corpus):
    made = list(cloze_questions.make_questions(corpus, size=2, n_questions=10, seed=0))
    found = {}
    for doc in made:
        ((question, (answer,)),) = get_answers(doc).items()
        found[answer.text] = question
        own = next(text for _, text, _ in SENTENCES if answer.text in text.split())
        _, *others = question.removesuffix("?").split() if " " in question else [question]
        assert answer.text not in question and set(others) <= {*own.split(), "many"}
        assert doc.text.count(answer.text) == 1 and not doc.ents
    # Not "Ana", which is there twice in its context.
    assert found.keys() == {"Lima", "Rio", "Wei", "12", "1999", "Paris"}
    openings = {answer: question.split()[0] for answer, question in found.items()}
    assert openings["Lima"] == "Where" and openings["1999"] == "When" and openings["12"] == "How"
    assert found["Paris"].startswith("哪里") and " " not in found["Paris"]
    assert {len(doc.text.split(".")) - 1 for doc in made if "Lima" in doc.text} == {2}  # two sentences


@pytest.mark.parametrize(
    "text, words",
    [
        ('It\'s near Rio, "now" .', ["It's", "near", "Rio", "now"]),
        ("今天我们在巴黎。好", ["今天我", "们在巴", "黎", "好"]),
    ],
)
def test_words_are_kept_together(text, words):
    nlp = spacy.blank(
        "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
    )
    doc = nlp(text)
    assert cloze_questions.words_of(doc[:]) == words


def test_nothing_to_ask_with():
    doc = spacy.blank("xx")("Paris .")
    doc.ents = [Span(doc, 0, 1, label="LOC")]
    doc.user_data["lang"] = "en"
    assert list(cloze_questions.make_questions([doc], size=1, n_questions=2, seed=0)) == []


def test_the_seed_decides(corpus):
    def texts(seed):
        return [
            (doc.text, list(get_answers(doc)))
            for doc in cloze_questions.make_questions(corpus, size=2, n_questions=2, seed=seed)
        ]

    assert texts(1) == texts(1) != texts(2)
    assert len(texts(1)) == 4  # two about each of two contexts


def test_words_beyond_the_sentence_are_not_asked_with(corpus):
    doc = cloze_questions.joined([corpus[0], corpus[2]])
    assert [sentence.text for sentence in doc.sents] == [corpus[0].text, corpus[2].text]
    span = doc[len(corpus[0]) : len(corpus[0]) + 1]
    words = {cloze_questions.question("PER", span, "en", random.Random(seed)) for seed in range(20)}
    assert len(words) > 10 and not any(word in text for word in ("Lima", "Rio") for text in words)


def test_the_command(corpus, tmp_path, monkeypatch, capsys):
    DocBin(store_user_data=True, docs=corpus).to_disk(tmp_path / "train.spacy")
    command = [
        "cloze_questions.py",
        str(tmp_path / "train.spacy"),
        str(tmp_path / "cloze.spacy"),
        "--size",
        "2",
    ]
    monkeypatch.setattr("sys.argv", command)
    cloze_questions.main()
    docs = list(DocBin().from_disk(tmp_path / "cloze.spacy").get_docs(spacy.blank("xx").vocab))
    assert len(docs) == 4 and all(len(list(get_answers(doc))) == 1 for doc in docs)
    assert capsys.readouterr().out.endswith("cloze.spacy: 4 questions\n")
