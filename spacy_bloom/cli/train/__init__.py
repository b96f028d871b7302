"""Configs for training, and what is shown while it runs."""
