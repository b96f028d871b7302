"""What the service's tests share: pipelines that are made in no time, and a service and an application of them."""

import pytest
import spacy
from spacy.language import Language

from spacy_bloom.serving.messages import Part
from spacy_bloom.serving.service import Service
from spacy_bloom.serving.settings import ServingSettings


class Strict:
    """A component that cannot process a Doc with "bad" in it, and whose batch fails with it."""

    def __init__(self):
        self.batches = []

    def __call__(self, doc):
        return next(self.pipe([doc]))

    def pipe(self, stream, batch_size=128):
        docs = list(stream)
        self.batches.append([doc.text for doc in docs])
        for word, error in (("bad", ValueError("bad text")), ("broken", RuntimeError("broken component"))):
            if any(word in doc.text for doc in docs):
                raise error
        yield from docs


@Language.factory("tests_strict")
def make_strict(nlp, name):
    return Strict()


@pytest.fixture
def nlp():
    """A blank pipeline that finds Ana, and refuses texts with "bad"."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ana"}])
    nlp.add_pipe("tests_strict")
    return nlp


@pytest.fixture
def make_service(nlp):
    """A function that makes a service with limits; they are closed after the test."""
    made = []

    def make(**settings):
        part = Part(
            name="annotation",
            pipeline="xx_test 1.0",
            components=nlp.pipe_names,
            answers_questions=False,
            quality="",
        )
        made.append(Service({"annotation": (part, nlp)}, ServingSettings(**settings)))
        return made[-1]

    yield make
    for service in made:
        service.close()
