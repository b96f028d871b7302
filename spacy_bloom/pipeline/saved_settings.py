"""Which settings a loaded component has: those of the pipeline's config."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def keeping_settings(cfg: dict[str, Any], found: tuple[str, ...] = ()) -> Iterator[None]:
    """Let what is read inside change what training has found, and no other setting: those are in the pipeline's
    config, where they can be overridden when it is loaded. spaCy's own components go by the saved ones.

    cfg (dict[str, Any]): A component's settings, changed in place.
    found (tuple[str, ...]): What training finds, unless what is read leaves it open (None).
    """
    before = dict(cfg)
    yield
    cfg.update({name: value for name, value in before.items() if name not in found or cfg[name] is None})
