"""Pages of HTML that show what components wrote."""
