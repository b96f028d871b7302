"""The wheel is all that a user needs: built, installed into an empty environment, and run there."""

import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from spacy_bloom.checkpoint.sources import BUNDLED_PIPELINES

ROOT = Path(__file__).parent.parent
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    source = tmp_path_factory.mktemp("source")
    # From the files that git knows, so that nothing that lies around gets into it.
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", out, source], check=True)
    return next(out.glob("*.whl"))


def test_wheel_holds_the_models_within_their_size(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    model = sum(size for name, size in sizes.items() if "assets/tiny-bloom/" in name)
    assert 0 < model <= 12 * MEGABYTE
    for pipeline in BUNDLED_PIPELINES:
        size = sum(size for name, size in sizes.items() if f"assets/{pipeline}/" in name)
        assert 0 < size <= 14 * MEGABYTE
    assert wheel.stat().st_size < 20 * MEGABYTE  # if not: scripts/compact.py
    assert "spacy_bloom/py.typed" in sizes
    assert not [name for name in sizes if name.startswith(("tests/", "benchmarks/", "scripts/"))]


def test_quick_start_runs_from_the_wheel(wheel, tmp_path):
    """With the versions that are installed here, whichever these are."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    versions = {one.metadata["Name"]: one.version.partition("+")[0] for one in distributions()}
    pins = [f"{name}=={version}\n" for name, version in versions.items() if name != "spacy-bloom"]
    (tmp_path / "installed.txt").write_text("".join(pins), encoding="utf8")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", tmp_path / "installed.txt", wheel]
    subprocess.run(install, check=True)
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    quick_start = re.findall(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)[0]
    result = subprocess.run(
        [python, "-c", quick_start], cwd=tmp_path, check=True, capture_output=True, text=True, encoding="utf8"
    )
    assert "('Clara Mendes', 'PER')" in result.stdout


def test_files_that_are_named_are_there():
    """What builds, tests and releases read: a file of constraints was lost once, and nothing noticed."""
    included = re.findall(r"^include (.*)$", (ROOT / "MANIFEST.in").read_text(encoding="utf8"), re.MULTILINE)
    named = {name for line in included for name in line.split()}
    for path in [ROOT / "Makefile", ROOT / "Dockerfile", *(ROOT / ".github" / "workflows").glob("*.yml")]:
        named |= set(re.findall(r"[\w-]*(?:constraints|requirements)[\w-]*\.txt", path.read_text(encoding="utf8")))
    assert {"README.md", "constraints.txt", "constraints-oldest.txt"} <= named
    assert not [name for name in sorted(named) if not (ROOT / name).is_file()]
