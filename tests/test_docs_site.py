"""The documentation builds as a site, without a link that leads nowhere."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(
    find_spec("material") is None, reason="mkdocs is not installed: pip install spacy-bloom[docs]."
)
@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="The last mkdocstrings and pymdown-extensions of 3.10 do not fit."
)
def test_site_builds(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    commands = (tmp_path / "commands" / "index.html").read_text(encoding="utf8")
    assert "<code>--n-process</code>" in commands, "commands are described by their own help"
    core = (tmp_path / "api" / "core" / "index.html").read_text(encoding="utf8")
    assert "from_pretrained" in core
    start = (tmp_path / "index.html").read_text(encoding="utf8")
    assert "fonts.googleapis" not in start, "pages work without a network"
