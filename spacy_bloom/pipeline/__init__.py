"""spaCy components; the only code that writes on Docs."""
