"""Extension attributes that components write to."""

from collections.abc import Callable
from typing import Any

from ...errors import ConfigError
from ...settings import shown


def add_read_extension(owner: Any, name: str) -> None:
    """Register an attribute that a component only reads, where it is not yet: users may have one with a getter.

    owner (Any): Doc, Span or Token.
    name (str): The attribute's name.
    """
    if not owner.has_extension(name):
        owner.set_extension(name, default=None)


def add_extension(owner: Any, name: Any, getter: Callable | None = None) -> None:
    """Register an attribute where it is not yet. Components do it when they are made, not on first use: with
    nlp.pipe(n_process=2) that would be in another process.

    owner (Any): Doc, Span or Token.
    name (Any): The attribute's name.
    getter (Callable | None): Computes it; None for an attribute that is written.
    RAISES (ConfigError): It is no name, or that of an attribute that is used in another way.
    """
    if not isinstance(name, str) or not name.isidentifier() or name in ("get", "has", "set"):
        raise ConfigError(f"Expected attr to be the name of an extension attribute, got {shown(name)}.")
    if not owner.has_extension(name):
        owner.set_extension(name, **({"default": None} if getter is None else {"getter": getter}))
        return
    _, method, found, setter = owner.get_extension(name)
    if method is not None or (found != getter and (getter is not None or setter is None)):
        kind = "a method" if method is not None else "one of another kind (a getter, or one to be written)"
        raise ConfigError(
            f"Expected a free name for an extension of {owner.__name__}, got {name!r}, which is {kind}. Choose "
            "another name in the component's settings."
        )
