"""Pipelines over HTTP: one page for people, JSON for programs."""
