"""Categories of Docs: settings and losses."""
