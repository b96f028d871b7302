"""What training data has: labels, what overlaps, what its windows cut."""
