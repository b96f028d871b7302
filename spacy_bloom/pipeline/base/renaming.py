"""What names a transformer follows when `nlp.rename_pipe` gives it another name."""

from collections.abc import Iterator
from typing import Any

from spacy.language import Language


def rename_upstream(nlp: Language | None, pipe: Any, old: str, new: str) -> None:
    """Change the name in a component's config, from which the pipeline is loaded again.

    nlp (Language | None): The pipeline; nothing is changed without one, or if it does not have the component.
    pipe (Any): The component whose config names a transformer as `upstream`, anywhere.
    """
    if nlp is None:
        return
    configs = [nlp.get_pipe_config(name) for name, other in nlp.components if other is pipe]
    for section in _sections(dict(enumerate(configs))):
        if section.get("upstream") == old:
            section["upstream"] = new


def _sections(config: dict) -> Iterator[dict]:
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _sections(value)
