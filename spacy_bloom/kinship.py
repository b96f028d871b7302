"""What `isinstance` sees of our classes once transformers is imported.

Its Trainer saves a model's config, and pads with a tokenizer, only if they are of its own base classes; its pipelines
keep no outputs but its own. They ask for the class where the methods would do. Nothing is inherited here: an object's
methods are looked up in its type, which stays ours.
"""

import copyreg
import sys
from functools import cache
from typing import Any, ClassVar


class Kin:
    """Base of classes whose objects are also instances of one of transformers' classes, while it is imported.

    _kin (tuple[str, str]): Module and name of that class.
    """

    _kin: ClassVar[tuple[str, str]]

    def _seen_as(self) -> type:
        module, name = self._kin
        theirs = getattr(sys.modules.get(module), name, None)  # None too while it is being imported
        own: type = type(self)
        return own if theirs is None else _kin_of(own, theirs)

    def _become(self, kind: type) -> None:
        object.__dict__["__class__"].__set__(self, kind)

    __class__ = property(_seen_as, _become)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # pickle refuses its own function for objects whose __class__ is not their type.
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, str):
            return reduced
        made, *rest = reduced
        return (new_object if made is copyreg.__newobj__ else made, *rest)  # type: ignore[attr-defined]


def new_object(kind: type, *arguments: Any) -> Any:
    """RETURNS (Any): An object that is not initialised, for pickle and copies."""
    return kind.__new__(kind, *arguments)


@cache
def _kin_of(own: type, theirs: type) -> type:
    """RETURNS (type): A class of the own one's name, which nothing is made of."""
    if issubclass(own, theirs):
        return own
    return type(own.__name__, (own, theirs), {"__module__": own.__module__, "__doc__": own.__doc__})
