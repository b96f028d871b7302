"""The wheel is all that a user needs: built, installed beside nothing but what it requires, and run there."""

import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

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
    # With the setuptools that is here, unless pyproject.toml asks for a newer one.
    here = ["--no-isolation"] if Version(version("setuptools")) >= Version("77") else []
    command = [sys.executable, "-m", "build", "--wheel", *here, "--outdir", out, source]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def required(found: Distribution, extras=frozenset({""})) -> dict[str, Distribution]:
    """RETURNS: by name, what a distribution requires, and what that requires, as it is installed here."""
    known = {}
    waiting = [(found, extras)]
    while waiting:
        needing, extras = waiting.pop()
        for requirement in map(Requirement, needing.requires or ()):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
                continue
            needed = distribution(requirement.name)
            assert requirement.specifier.contains(needed.version, prereleases=True), str(requirement)
            key = needed.metadata["Name"], frozenset(requirement.extras)
            if key not in known:
                known[key] = needed
                waiting.append((needed, frozenset({"", *requirement.extras})))
    return {name: needed for (name, _), needed in known.items()}


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment of the wheel, its requirements, and no more."""
    env = tmp_path_factory.mktemp("env")
    venv.create(env)
    python = next(path for path in (env / "bin" / "python", env / "Scripts" / "python.exe") if path.exists())
    site = next(path for path in env.rglob("site-packages") if path.is_dir())
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    (installed,) = Distribution.discover(name="spacy-bloom", path=[str(site)])
    for needed in required(installed).values():
        names = {file.parts[0] for file in needed.files or () if file.parts[0] not in ("..", "__pycache__")}
        for name in names - {path.name for path in site.iterdir()}:
            (site / name).symlink_to(needed.locate_file(name))
    return python


def test_wheel_holds_the_models_within_their_size(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    model = sum(size for name, size in sizes.items() if "assets/tiny-bloom/" in name)
    assert 0 < model <= 12 * MEGABYTE
    for pipeline in BUNDLED_PIPELINES:
        size = sum(size for name, size in sizes.items() if f"assets/{pipeline}/" in name)
        assert 0 < size <= 36 * MEGABYTE  # the demo's n-grams take 22, and a fifth of that in the wheel
    assert wheel.stat().st_size < 20 * MEGABYTE  # if not: scripts/compact.py
    assert "spacy_bloom/py.typed" in sizes
    assert not [name for name in sizes if name.startswith(("tests/", "benchmarks/", "scripts/"))]


def test_quick_start_runs_from_the_wheel(python, tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    quick_start = re.findall(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)[0]
    code = f"{quick_start}\nimport spacy_bloom; print(spacy_bloom.__file__)"
    result = subprocess.run(
        [python, "-I", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True, encoding="utf8"
    )
    assert "('Clara Mendes', 'PER')" in result.stdout
    assert Path(result.stdout.splitlines()[-1]).is_relative_to(python.parents[1])


def test_files_that_are_named_are_there():
    """What builds, tests and releases read: a file of constraints was lost once, and nothing noticed."""
    included = re.findall(r"^include (.*)$", (ROOT / "MANIFEST.in").read_text(encoding="utf8"), re.MULTILINE)
    named = {name for line in included for name in line.split()}
    for path in [ROOT / "Makefile", ROOT / "Dockerfile", *(ROOT / ".github" / "workflows").glob("*.yml")]:
        named |= set(
            re.findall(r"[\w-]*(?:constraints|requirements)[\w-]*\.txt", path.read_text(encoding="utf8"))
        )
    assert {"README.md", "constraints.txt", "constraints-oldest.txt"} <= named
    assert not [name for name in sorted(named) if not (ROOT / name).is_file()]


def test_the_lock_has_the_pinned_versions_with_hashes():
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text(encoding="utf8")
        found = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)", text, re.MULTILINE)
        return {one.lower().replace("_", "-"): version for one, version in found}

    locked, pinned = pins("requirements-dev.txt"), pins("constraints.txt")
    assert locked["torch"] == pinned["torch"] and len(locked) > 100
    assert not {name: version for name, version in locked.items() if pinned.get(name, version) != version}, (
        "make lock"
    )
    for name in ("requirements-dev.txt", "requirements-release.txt"):
        rows = (ROOT / name).read_text(encoding="utf8").replace("\\\n", " ").splitlines()
        assert not [row for row in rows if row[:1].isalnum() and "--hash=sha256:" not in row]
