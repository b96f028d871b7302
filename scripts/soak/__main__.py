"""Run the parts of the soak one after the other.

    python -m scripts.soak                                      # all, 60 minutes a part
    python -m scripts.soak --only files --inputs 20000          # one part, no more than so many inputs
    python -m scripts.soak --minutes 2 --seed 7

What broke a promise is printed and kept in --kept, and the exit status is 1 then.
"""

import argparse
import json
import pkgutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from . import __path__ as folders
from .figures import Budget, Figure


def parts() -> dict[str, Any]:
    """RETURNS (dict[str, Module]): Modules with a function `soak`, by name; those that begin with _ are none."""
    names = sorted(m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))
    modules = {name: import_module(f"{__package__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "soak")}


def run(
    chosen: dict[str, Any], *, minutes: float, inputs: int, seed: int, kept: Path
) -> Iterator[tuple[str, Figure]]:
    """chosen (dict[str, Module]): Parts by name.
    minutes (float), inputs (int): The most for each part.
    YIELDS (tuple[str, Figure]): A part's name, and what came of one kind of its inputs.
    """
    for name, module in chosen.items():
        folder = kept / name
        folder.mkdir(parents=True, exist_ok=True)
        for figure in module.soak(Budget(minutes * 60, inputs, seed, folder)):
            yield name, figure


def row(name: str, figure: Figure) -> str:
    """RETURNS (str): A row of the table in docs/robustness.md."""
    notes = ", ".join(f"{what} {value}" for what, value in figure.notes.items())
    cells = [name, figure.kind, f"{figure.tried:,}", str(len(figure.found)), f"{figure.seconds:.0f} s", notes]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """RETURNS (int): 0 if every promise held, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="at most, for each part (default: 60)")
    parser.add_argument(
        "--inputs", type=int, default=10**6, help="at most, for each part (default: a million)"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="this part; may be given several times"
    )
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of all that is random (default: the time)"
    )
    parser.add_argument(
        "--kept", type=Path, help="folder for what broke a promise (default: a temporary one)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    known = parts()
    unknown = sorted(set(options.only or ()) - set(known))
    if unknown:
        parser.error(f"no parts {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = {name: known[name] for name in options.only or known}
    kept = options.kept or Path(tempfile.mkdtemp(prefix="soak-"))
    limits = {"minutes": options.minutes, "inputs": options.inputs, "seed": options.seed, "kept": kept}
    print(f"seed {options.seed}, kept in {kept}", flush=True)
    print(
        "| part | kind | tried | found | time | notes |\n| --- | --- | ---: | ---: | ---: | --- |", flush=True
    )
    all_figures = []
    for name, figure in run(chosen, **limits):
        print(row(name, figure), flush=True)
        for line in figure.found:
            print(f"  FOUND {line}", file=sys.stderr, flush=True)
        all_figures.append({"part": name, **asdict(figure)})
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "figures": all_figures}, indent=1), "utf8")
    return 1 if any(figure["found"] for figure in all_figures) else 0


if __name__ == "__main__":
    sys.exit(main())
