"""Pages of HTML that commands write."""
