"""What the README shows runs."""

import re
import shlex
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config_from_str

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"), ids=range(len(blocks("python"))))
def test_python_block_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip(), "the block shows nothing"


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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", README):
        assert (ROOT / target).exists(), target
