"""Parts give what the pipelines wrote, for each text alone as for all together."""

import json

import pytest
import spacy
from spacy.tokens import Doc

from spacy_bloom import bundled_path
from spacy_bloom.serving.messages import ProcessedText
from spacy_bloom.serving.parts import ANSWERS, Asked, annotating_part, find_all, language_model_parts

TEXTS = ["Clara Mendes nasceu em Coimbra.", "", "张伟教授在北京大学工作。", "سافر محمد إلى دمشق", " \n"]


def test_annotation_is_the_doc_of_the_pipeline():
    nlp = spacy.load(bundled_path("xx_bloom_tiny_demo"))
    part, same = annotating_part(nlp)
    assert part.name == "annotation" and same is nlp and "F of entities" in part.quality
    found = find_all("annotation", nlp, [Asked(text) for text in TEXTS])
    for text, fields in zip(TEXTS, found, strict=True):
        expected = nlp(text).to_json()
        cats = fields["doc"].pop("cats"), expected.pop("cats")
        assert fields["doc"] == expected and cats[0] == pytest.approx(cats[1], abs=1e-5)
        again = Doc(nlp.vocab).from_json(json.loads(json.dumps(fields["doc"])))
        assert [(e.text, e.label_) for e in again.ents] == [(e.text, e.label_) for e in nlp(text).ents]


def test_answers_to_each_question():
    nlp = spacy.load(bundled_path("xx_bloom_tiny_qa"))
    part, _ = annotating_part(nlp, ANSWERS)
    assert part.answers_questions
    questions = ["Onde nasceu?", "Quem nasceu?", "Onde nasceu?"]
    found = find_all(ANSWERS, nlp, [Asked(TEXTS[0], questions), Asked("", questions), Asked(TEXTS[0])])
    assert [a.question for a in found[0]["answers"]] == questions[:2]
    best = found[0]["answers"][0].answers[0]
    assert TEXTS[0][best.start : best.end] == best.text
    assert [a.answers for a in found[1]["answers"]] == [[], []]
    assert found[2]["answers"] == [] and "doc" not in found[0]


def test_a_language_model_goes_on_and_is_surprised():
    parts = {part.name: (part, nlp) for part, nlp in language_model_parts("tiny-bloom")}
    assert list(parts) == ["continuation", "surprisal"]
    assert parts["surprisal"][0].quality.startswith("5 million parameters")
    asked = [Asked(text) for text in TEXTS]
    found = {name: find_all(name, nlp, asked) for name, (_, nlp) in parts.items()}
    assert all(isinstance(fields["continuation"], str) for fields in found["continuation"])
    for text, fields in zip(TEXTS, found["surprisal"], strict=True):
        tokens = fields["surprisal"].tokens
        assert (
            "".join(text[t.start : t.end] for t in tokens).split() == text.replace("\n", "").split() or tokens
        )
        assert all(t.bits is None or t.bits > -1e-6 for t in tokens)
        ProcessedText(text=text, **fields).model_dump_json()


def test_one_bad_text_fails_alone(nlp, caplog):
    found = find_all("annotation", nlp, [Asked(text) for text in ("Ana", "bad", "Ana sings")])
    assert [isinstance(one, ValueError) for one in found] == [False, True, False]
    [record] = caplog.records
    assert record.name == "spacy_bloom.serving.parts" and "bad" not in record.getMessage(), (
        "no text in the log"
    )
    assert record.exc_info[0] is ValueError
    assert found[2]["doc"]["ents"] == [{"start": 0, "end": 3, "label": "PER"}]
    assert nlp.get_pipe("tests_strict").batches == [
        ["Ana", "bad", "Ana sings"],
        ["Ana"],
        ["bad", "Ana sings"],
        ["bad"],
        ["Ana sings"],
    ]


def test_a_pipeline_that_leaves_docs_out(nlp):
    nlp.set_error_handler(lambda *_: None)
    component = nlp.get_pipe("tests_strict")
    component.pipe = lambda stream, batch_size=1: (doc for doc in stream if "bad" not in doc.text)
    found = find_all("annotation", nlp, [Asked("Ana"), Asked("bad")])
    assert found[0]["doc"]["text"] == "Ana" and "left out" in str(found[1])


def test_words_are_forgotten(nlp):
    before = len(nlp.vocab.strings)
    for number in range(20):
        find_all("annotation", nlp, [Asked(f"word{number} name{number}")])
    assert len(nlp.vocab.strings) <= before + 2
