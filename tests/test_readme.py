"""What the README and the docs show runs."""

import os
import re
import shlex
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config_from_str

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


EXAMPLES = {
    f"{page.stem}-{i}": code
    for page in PAGES
    if not (
        ROOT / "docs" / "notebooks" / f"{page.stem}.ipynb"
    ).is_file()  # tests/scripts/test_notebooks.py runs these
    for i, code in enumerate(blocks("python", page.read_text(encoding="utf8")))
}


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed: pip install spacy-bloom[jax].")
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("jax-")])
def test_jax_block_runs(name, tmp_path, python_spacy):
    """In a process of its own: JAX's threads would stay in this one, which other tests fork."""
    quick = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compilation is most of what it takes
    result = python_spacy.run("-c", EXAMPLES[name], cwd=tmp_path, env=quick)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() or "print" not in EXAMPLES[name], "the block shows nothing"


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not name.startswith("jax-")])
def test_python_block_runs(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    exec(compile(EXAMPLES[name], name, "exec"), {})
    assert capsys.readouterr().out.strip() or "print" not in EXAMPLES[name], "the block shows nothing"


def test_every_component_has_an_example():
    shown = "".join(EXAMPLES.values())
    meta = entry_points(group="spacy_factories")
    ours = {point.name for point in meta if point.value.startswith("spacy_bloom.")}
    assert ours and all(f'"{name}"' in shown for name in ours - {"bloom_token_classifier"})


def test_quick_start_finds_the_entities_it_shows(capsys):
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    portuguese, chinese = capsys.readouterr().out.splitlines()
    assert "('Clara Mendes', 'PER')" in portuguese
    assert "('张伟', 'PER')" in chinese


@pytest.mark.parametrize("text", blocks("ini"), ids=range(len(blocks("ini"))))
def test_config_block_makes_its_components(text):
    """The block names a checkpoint on the Hub: making the component must not fetch it."""
    config = load_config_from_str(text)
    nlp = spacy.blank("xx")
    for name, component in config["components"].items():
        nlp.add_pipe(component.pop("factory"), name=name, config=component)
    assert nlp.pipe_names == list(config["components"])


def test_commands_name_files_and_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    for line in "".join(blocks("bash")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert f"\n{words[1]}:" in makefile
        for word in words:
            if word.startswith(("configs/", "scripts/")):
                assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf8")):
        assert (page.parent / target).exists(), target
