"""Ranks run in scripts of their own, which print what they have found as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_bloom

HERE = Path(__file__).parent
ROOT = Path(spacy_bloom.__file__).parent.parent


@pytest.fixture(scope="session")
def run_report():
    """A function that runs a script beside the tests. RETURNS (tuple): Its report, and its standard error."""

    def run(script, *args):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(HERE / script), *map(str, args)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=180, env=env)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    return run
