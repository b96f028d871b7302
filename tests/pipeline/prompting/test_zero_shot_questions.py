import pytest
import spacy

from spacy_bloom.errors import ConfigError
from spacy_bloom.pipeline.prompting.zero_shot_questions import Question, ask, make_template

NLP = spacy.blank("xx")


@pytest.mark.parametrize(
    "prompt, verbalizers, expected",
    [
        (None, {}, Question("It rains.\n\nTopic:", (" food", " weather"))),
        (None, {"food": " meals"}, Question("It rains.\n\nTopic:", (" meals", " weather"))),
        (
            "{{ labels|join('/') }}: {{ doc.text }}",
            {"food": " meals"},
            Question("meals/weather: It rains.", (" meals", " weather")),
        ),
    ],
)
def test_one_question_for_all_labels(prompt, verbalizers, expected):
    asked = ask(NLP("It rains."), ["food", "weather"], prompt=prompt, verbalizers=verbalizers, yes_no=None)
    assert asked == [expected]


def test_a_question_for_each_label():
    prompt = "{{ doc.text }} About {{ label }}?"
    asked = ask(NLP("Hi"), ["a", "b"], prompt=prompt, verbalizers={"b": "bees"}, yes_no=(" yes", " no"))
    assert asked == [Question("Hi About a?", (" yes", " no")), Question("Hi About bees?", (" yes", " no"))]


@pytest.mark.parametrize(
    "prompt, multi_label", [("{{ doc.text }}", True), ("{{ label }}", False), ("{{ doc.text", False)]
)
def test_prompts_that_cannot_be(prompt, multi_label):
    with pytest.raises(ConfigError):
        make_template(prompt, multi_label)
