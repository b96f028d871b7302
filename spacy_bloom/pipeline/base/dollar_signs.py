"""Dollar signs in settings, which have a meaning in spaCy's config format.

Whenever a config is written, `$` becomes `$$`, which reading does not undo; `${` is read as a variable; and what stands
between two of them may change. So a component with a `$` in its settings stores them with a mark in its place, and the
mark as one more setting, `dollar`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, ref

from spacy.language import Language
from spacy.pipeline.pipe import Pipe

from ...settings import Check, check, optional

SETTING = "dollar"
MARK = Check("text that is not empty, without $", lambda x: isinstance(x, str) and x != "" and "$" not in x)
NAME: Any = vars(Pipe)["name"]  # spaCy's own attribute

# Components whose config spaCy has not stored yet: their pipeline, mark and settings as spaCy read them.
_new: WeakKeyDictionary[Pipe, tuple[ref[Language], str | None, dict[str, Any]]] = WeakKeyDictionary()


def plain_settings(settings: Mapping[str, Any], mark: str | None) -> dict[str, Any]:
    """settings (Mapping[str, Any]): As stored.
    mark (str | None): What stands for `$` in them; None if nothing does.
    RETURNS (dict[str, Any]): With dollar signs.
    RAISES (ConfigError): The mark is empty, or has a `$` itself.
    """
    check(SETTING, mark, optional(MARK))
    return dict(settings) if mark is None else _changed(settings, lambda text: text.replace(mark, "$"))


def stored_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Settings without a `$`, with the setting `dollar` if there was one."""
    texts = list(_texts(settings))
    if not any("$" in text for text in texts):
        return dict(settings)
    mark = next(mark for mark in _marks() if not any(mark in text for text in texts))
    return {**_changed(settings, lambda text: text.replace("$", mark)), SETTING: mark}


def _marks() -> Iterator[str]:
    """YIELDS (str): Marks that cannot overlap with themselves, so that replacing them is exact."""
    yield "[dollar]"
    yield from (f"[dollar-{number}]" for number in count(2))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """RETURNS (Any): The value with all texts changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)):
        return [_changed(item, change) for item in value]
    if isinstance(value, Mapping):
        return {_changed(key, change): _changed(item, change) for key, item in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


class StoredName:
    """The attribute `name` of a component. spaCy assigns it when it has added a component to a pipeline and stored its
    config, which is the moment to store settings in a form that survives.
    """

    def __get__(self, pipe: Any, owner: type | None = None) -> Any:
        return self if pipe is None else NAME.__get__(pipe)

    def __set__(self, pipe: Pipe, name: str) -> None:
        NAME.__set__(pipe, name)
        nlp, mark, given = _new.get(pipe, (lambda: None, None, {}))
        pipeline = nlp()
        if pipeline is not None and name in pipeline.component_names:
            del _new[pipe]
            _store(pipeline.get_pipe_config(name), mark, given)


def remember(pipe: Pipe, nlp: Language, settings: Mapping[str, Any], mark: str | None) -> None:
    """Store the settings of a new component in a form that survives, as soon as it is part of its pipeline.

    settings (Mapping[str, Any]): As spaCy read them.
    mark (str | None): What stands for `$` in them.
    """
    _new[pipe] = ref(nlp), mark, dict(settings)


def _store(config: dict[str, Any], mark: str | None, given: Mapping[str, Any]) -> None:
    # Where spaCy stored something else than it passed on, there are variables, which stay.
    own = {name: value for name, value in given.items() if name in config and config[name] == value}
    config.pop(SETTING, None)
    config.update(stored_settings(plain_settings(own, mark)))
