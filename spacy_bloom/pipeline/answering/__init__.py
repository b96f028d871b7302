"""Answers to questions, gold and predicted."""
