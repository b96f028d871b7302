"""Pipelines that a command is given."""

import spacy
from spacy.language import Language

from ...checkpoint.sources import bundled_path
from ...errors import InputError


def load_pipeline(source: str) -> Language:
    """source (str): A bundled pipeline, or a directory or package that spacy.load takes.
    RETURNS (Language): The pipeline.
    RAISES (InputError): There is none.
    """
    try:
        return spacy.load(bundled_path(source) or source)
    except OSError as error:
        raise InputError(f"The pipeline {source} cannot be loaded: {error}.") from error
