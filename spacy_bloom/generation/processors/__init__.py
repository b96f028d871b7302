"""What changes the scores of the next piece."""
