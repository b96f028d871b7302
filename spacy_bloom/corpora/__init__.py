"""Annotated data in the usual formats, as spaCy's Docs."""
