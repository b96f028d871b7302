"""Ranks run in scripts of their own, which print what they have found as JSON."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def run_report(run_ranks):
    """A function that runs a script beside the tests. RETURNS (tuple): Its report, and its standard error."""
    return lambda script, *args: run_ranks(HERE / script, *args)
