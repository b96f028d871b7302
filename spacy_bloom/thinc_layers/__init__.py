"""thinc models that join Docs and torch."""
