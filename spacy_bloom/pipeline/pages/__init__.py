"""HTML pages that show what components wrote."""
