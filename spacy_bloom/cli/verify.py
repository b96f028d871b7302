"""`python -m spacy bloom verify`: a checkpoint beside what was published about BLOOM."""

from pathlib import Path
from typing import Any, Callable, Dict, Optional

from spacy.cli._util import Arg, Opt
from wasabi import msg

from ..checkpoint.sources import find_checkpoint
from ..errors import InputError
from ..published import GEOMETRIES, OWNER, TEXTS_REVISION, TEXTS_SIZE, published_size
from ..verification import verify


def verify_cli(
    name: str = Arg(..., help="Published size (bloom-560m, ...), Hub name, or directory in the Hugging Face layout"),
    size: Optional[str] = Opt(None, "--size", "-s", help=f"Published size that a directory should be: {', '.join(GEOMETRIES)}; by default the one of its geometry"),
    revision: Optional[str] = Opt(None, "--revision", "-r", help=f"Branch, tag or commit; for {TEXTS_SIZE}, {TEXTS_REVISION} by default"),
    local: bool = Opt(False, "--local", "-l", help="Take what is in the cache; ask no network"),
) -> None:  # fmt: skip
    """
    Compare a checkpoint with what was published: geometry and parameters of
    its size, the tokenizer's pieces and ids, and what bloom-560m writes.
    Says what could not be checked. Ends with 1 if anything differs.
    """
    if size is not None and size not in GEOMETRIES:
        raise InputError(f"Expected --size to be one of {', '.join(GEOMETRIES)}; got {size}.")
    if not Path(name).is_dir():
        size = size or published_size(name)
        if size == TEXTS_SIZE and revision is None:
            revision = TEXTS_REVISION
        if name in GEOMETRIES:
            name = f"{OWNER}/{name}"
    path = find_checkpoint(name, revision=revision, local_files_only=local)
    states = []
    lines: Dict[str, Callable[..., Any]] = {"same": msg.good, "different": msg.fail, "not checked": msg.warn}
    for check in verify(path, size, revision=revision):
        lines[check.state](f"{check.fact}: {check.state}", check.detail)
        states.append(check.state)
    counts = {state: states.count(state) for state in ("same", "different", "not checked")}
    summary = ", ".join(f"{n} {state}" for state, n in counts.items())
    if counts["different"]:
        msg.fail(f"{path}: {summary}", exits=1)
    msg.good(f"{path}: {summary}")
