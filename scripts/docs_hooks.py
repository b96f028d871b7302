"""Hooks for mkdocs: they add the help of the commands and links to files of the repository."""

import re
from collections.abc import Iterator
from typing import Any

import typer

REPOSITORY = "https://github.com/spacy-bloom/spacy-bloom/blob/main/"
OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")
COMMANDS = "<!-- commands -->"
# Lines of a docstring of the form "name (type): description", which would otherwise run together.
FIELD = re.compile(
    r"^(?P<name>[\w*, ]+|RETURNS|RAISES|YIELDS|SOURCE) ?(?P<type>\([^:]*\))?: ", flags=re.MULTILINE
)


def on_page_markdown(markdown: str, page: Any = None, **_: Any) -> str:
    """Called by mkdocs for each page. RETURNS (str): The page with links to the repository and help of the commands."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(describe_commands()))
    if page is not None and "/" in page.file.src_uri:  # from a subfolder, `../` is still in docs
        return markdown
    return OUTSIDE.sub(rf"]({REPOSITORY}\1)", markdown)


def describe_commands() -> Iterator[str]:
    """YIELDS (str): Lines that describe each command, its arguments and its options."""
    from spacy_bloom.cli import bloom_cli

    group = typer.main.get_command(bloom_cli)
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        yield f"## {name}\n"
        yield _prose(command.help)
        yield f"\n```\npython -m spacy bloom {name}{_usage(command.params)}\n```\n"
        yield "| argument or option | description |\n|---|---|"
        for parameter in command.params:
            if parameter.name != "help":
                yield f"| {_names(parameter)} | {_cell(parameter)} |"
        if command.epilog:
            yield f"\n```\n{command.epilog.replace(chr(8), '').strip()}\n```"
        yield ""


def _prose(text: str | None) -> str:
    return " ".join((text or "").replace("\b", "").split())


def _usage(parameters: list[Any]) -> str:
    names = [one.name.upper() for one in parameters if one.param_type_name == "argument"]
    return "".join(f" {name}" for name in names) + " [OPTIONS]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _cell(parameter: Any) -> str:
    text = _prose(getattr(parameter, "help", "")).replace("|", r"\|").replace("<", "&lt;")
    default = parameter.default
    shown = default not in (None, False, "", ()) and not callable(default) and default is not ...
    return (
        f"{text} (default: `{getattr(default, 'value', default)}`)"
        if shown and not parameter.required
        else text
    )
