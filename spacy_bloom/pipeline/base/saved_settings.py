"""Which settings a loaded component has: those of the pipeline's config."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def keeping_settings(
    cfg: dict[str, Any], found: Collection[str] = (), left_open: Collection[str] = ()
) -> Iterator[None]:
    """Let what is read inside change what training has found, and no other setting: those are in the pipeline's
    config, where they can be overridden when it is loaded. spaCy's own components go by the saved ones.

    cfg (dict[str, Any]): A component's settings, changed in place.
    found (Collection[str]): What training finds.
    left_open (Collection[str]): What training finds where the config leaves it open (None).
    """
    before = dict(cfg)
    yield
    is_found = {*found, *(name for name in left_open if before[name] is None)}
    cfg.update({name: value for name, value in before.items() if name not in is_found})
