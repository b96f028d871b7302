"""Pipelines compared with gold annotation, group by group."""
