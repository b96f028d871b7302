import inspect

from spacy_bloom import errors
from spacy_bloom.errors import BloomError, BloomWarning


def test_every_error_can_be_caught_as_one():
    """As a BloomError, and as the ValueError that spaCy's error handlers know."""
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
    ]
    assert len(kinds) > 5
    assert {kind for kind in kinds if not issubclass(kind, BloomError)} == {BloomWarning}
    assert issubclass(BloomError, ValueError) and issubclass(BloomWarning, UserWarning)
