"""Questions are read once for each context, with answers on its tokens."""

from pathlib import Path

import pytest

from spacy_bloom.corpora.files import DataFile
from spacy_bloom.corpora.questions import Question, merge, questions_of, read_questions
from spacy_bloom.errors import InputError
from spacy_bloom.pipeline.answering.answers import get_answers

DATA = Path(__file__).parents[3] / "shared" / "data" / "qa"


def question(name="en", id="1", question="q", answers=()):
    return Question(DataFile(Path(f"{name}.jsonl"), name, None), id, None, "c", question, tuple(answers), {})


def test_reading(write, nlp):
    rows = [
        {"id": 7, "article": 0, "context": "他在北京 since 1990s.", "question": "在哪?",
         "answers": [{"text": "北京", "start": 2}, {"text": "1990", "start": 11}]},
        {"context": "a", "question": "q", "answers": []},
    ]  # fmt: skip
    one, two = read_questions(nlp, [write("zh.jsonl", rows)])
    answers = {q: [span.text for span in spans] for q, spans in get_answers(one.doc).items()}
    assert answers == {"在哪?": ["北京", "1990s"]}
    assert one.doc.user_data["lang"] == "zh" and one.counts == {"exact": 1, "expanded": 1}
    assert one.keys == (("context", "他在北京 since 1990s."), ("id", "7"), ("article", "zh 0"))
    assert two.keys == (("context", "a"), ("id", "zh.jsonl:2")) and get_answers(two.doc) == {"q": []}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"id": 1, "context": "a", "question": "q"}',
        '{"id": 1, "context": "ab", "question": "q", "answers": [{"text": "b", "start": 0}]}',
        '{"id": 1, "context": "ab", "question": "q", "answers": [{"text": "b", "start": -1}]}',
        '{"id": 1, "context": "ab", "question": "q", "answers": [{"text": "", "start": 0}]}',
        '{"id": 1, "context": "ab", "question": "q", "answers": ["b"]}',
        '{"id": 1, "context": "ab", "question": null, "answers": []}',
        '{"id": 1, "context": ["ab"], "question": "q", "answers": []}',
    ],
)
def test_lines_that_are_no_questions(write, line):
    file = write("en.jsonl", '{"id": 1, "context": "a", "question": "q", "answers": []}\n' + line)
    with pytest.raises(InputError, match="line 2: got .*expected id"):
        list(questions_of(file))


def test_copies_of_a_question_are_merged():
    asked = [
        question(id="1", answers=[("a", 0)]),
        question(id="2", answers=[("b", 1), ("a", 0)]),
        question(id="3", question="other"),
        question(id="4", name="fr"),
    ]
    assert [(each.id, each.answers) for each in merge(asked)] == [
        ("1", (("a", 0), ("b", 1))),
        ("3", ()),
        ("4", ()),
    ]


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared QA data is not beside the checkout (../shared/data/qa)"
)
def test_shared_data(nlp):
    samples = list(read_questions(nlp, [DataFile(DATA / "zh.jsonl", "zh", None)]))
    assert sum(sample.counts["exact"] for sample in samples) > 0.95 * len(samples)
    assert not any(sample.counts["dropped"] for sample in samples)
