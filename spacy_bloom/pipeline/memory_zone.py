"""Zones of memory that are left in order."""

from collections.abc import Iterator
from contextlib import contextmanager

from spacy.language import Language


@contextmanager
def memory_zone(nlp: Language) -> Iterator[None]:
    """`nlp.memory_zone()`, for code that may fail inside: spaCy 3.8.7 does not leave its zone after an error, and the
    vocabulary then keeps pointers to memory that is gone.

    nlp (Language): The pipeline.
    YIELDS: Inside of the zone. An error is raised again outside of it.
    """
    failed: BaseException | None = None
    with nlp.memory_zone():
        try:
            yield
        except BaseException as error:
            failed = error
    if failed is not None:
        raise failed
