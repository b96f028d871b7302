"""`python -m spacy bloom info`: a checkpoint's geometry, files and memory, and whether it fits this machine."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Optional

import torch
from spacy.cli._util import Arg, Opt
from spacy.util import load_config
from wasabi import msg, table

from ..checkpoint.directory import Checkpoint
from ..checkpoint.files import CONFIG_FILE
from ..checkpoint.sizes import format_size
from ..checkpoint.sources import find_checkpoint
from ..config import BloomConfig
from ..conversion.description import CACHED_PIECES, Description, describe_directory, describe_published
from ..errors import CheckpointError, InputError
from ..published import GEOMETRIES, published_config
from .inputs import PIPELINE_CONFIG, find_pipeline
from .plans import Request, show_plans

CACHE = f"cache of {CACHED_PIECES:,} pieces"
# Rows of the memory's table; the second dtype of a row needs as much as the first.
DTYPE_ROWS = {"float32": "float32", "bfloat16": "bfloat16, float16", "int8": "int8"}
PUBLISHED_HEADER = (
    "size", "hidden size", "blocks", "heads", "parameters", "without embeddings",
    *DTYPE_ROWS.values(), f"{CACHE} (bfloat16)",
)  # fmt: skip
MAX_FILES = 8
MAX_LABELS = 12
CGROUP = Path("/sys/fs/cgroup")
Align = Literal["l", "r", "c"]


def info_cli(
    name: Optional[str] = Arg(None, help="Directory in the Hugging Face layout, Hub name, bundled name, trained pipeline or published size (bloom-560m, ...); all published sizes by default"),
    revision: Optional[str] = Opt(None, "--revision", "-r", help="Branch, tag or commit on the Hub"),
    as_json: bool = Opt(False, "--json", "-j", help="Print JSON, with sizes in bytes"),
    ranks: Optional[int] = Opt(None, "--ranks", "-n", help="Plan for a model that is divided among so many processes"),
    dtype: str = Opt("bfloat16", "--dtype", "-d", help="Of a plan: float32, bfloat16, float16 or int8"),
    batch: int = Opt(1, "--batch", "-b", help="Of a plan: rows together on each rank"),
    length: int = Opt(2048, "--length", "-l", help="Of a plan: pieces of a row"),
) -> None:  # fmt: skip
    """
    Describe a checkpoint: geometry, parameters, head, tokenizer, files, memory
    of its weights in each dtype, memory of the keys and values of 1,000
    pieces, and what fits into this machine's memory. Reads the config, the
    tokenizer and the headers of files, never the weights; a Hub name is
    fetched without them. The published sizes need no network. For a pipeline,
    the checkpoints of its components are described. With --ranks, it says what
    each rank reads, holds and needs at its peak instead: to generate with
    tensor parallel, and to train with train-lm under torchrun.
    """
    if ranks is not None:
        sizes = list(GEOMETRIES) if name is None else find_names(name)
        configs = {size: config_of(size, revision) for size in sizes}
        show_plans(configs, Request(ranks, dtype, batch, length), as_json=as_json)
        return
    names = [] if name is None else find_names(name)
    described = describe_sizes() if name is None else [describe(found, revision) for found in names]
    memory = memory_here()
    if as_json:
        results = [to_json(description, memory) for description in described]
        print(json.dumps(results[0] if len(names) == 1 else results, indent=2, ensure_ascii=False))
    elif name is None:
        print(
            table(
                published_rows(),
                header=_upper(PUBLISHED_HEADER),
                divider=True,
                aligns=_right(PUBLISHED_HEADER),
            )
        )
    else:
        for description in described:
            show(description, memory)


def find_names(name: str) -> list[str]:
    """name (str): A checkpoint, or a pipeline with checkpoints.
    RETURNS (list[str]): The checkpoint, or those of the pipeline's components, in their order: the saved ones where there
        are some, otherwise those that are loaded by name.
    RAISES (InputError): No component of the pipeline has a checkpoint.
    """
    path = find_pipeline(name)
    if path is None:
        return [name]
    config = load_config(path / PIPELINE_CONFIG, interpolate=True)
    found = []
    for component in config["nlp"]["pipeline"]:
        model = config["components"][component].get("model", {})
        if (path / component / "model" / CONFIG_FILE).is_file():
            found.append(str(path / component / "model"))
        elif "name" in model:
            found.append(model["name"])
    if not found:
        raise InputError(
            f"Expected a checkpoint or a pipeline with a BLOOM component, got a pipeline of "
            f"{', '.join(config['nlp']['pipeline']) or 'no components'}."
        )
    return list(dict.fromkeys(found))


def config_of(name: str, revision: Optional[str] = None) -> BloomConfig:
    """RETURNS (BloomConfig): The geometry of a published size or a checkpoint.
    RAISES (BloomError): There is no such checkpoint, or it is damaged.
    """
    config = None if Path(name).is_dir() else published_config(name)
    return Checkpoint.find(name, revision=revision, weights=False).config if config is None else config


def describe(name: str, revision: Optional[str] = None) -> Description:
    """name (str): Bundled name, directory, published size or Hub name.
    revision (str | None): Branch, tag or commit on the Hub.
    RETURNS (Description): What is known without reading weights.
    RAISES (BloomError): There is no such checkpoint, or it is damaged.
    """
    config = published_config(name)
    if config is None or Path(name).is_dir():
        return describe_directory(name, find_checkpoint(name, revision=revision, weights=False))
    # Fetched files say more than the table. Names without an owner are never looked up on the Hub.
    if "/" in name:
        try:
            path = find_checkpoint(name, revision=revision, local_files_only=True, weights=False)
            return describe_directory(name, path)
        except CheckpointError:
            pass
    return describe_published(name, config)


def describe_sizes() -> list[Description]:
    """RETURNS (list[Description]): The sizes in which BLOOM was published, smallest first."""
    configs = {name: published_config(name) for name in GEOMETRIES}
    return [describe_published(name, config) for name, config in configs.items() if config is not None]


def published_rows() -> list[tuple[str, ...]]:
    """RETURNS (list[tuple[str, ...]]): Cells of a table under PUBLISHED_HEADER."""
    return [
        (
            d.name, f"{d.hidden_size:,}", f"{d.n_layer}", f"{d.n_head}",
            f"{d.parameters:,}", f"{d.parameters_without_embeddings:,}",
            *(format_size(d.weights[dtype]) for dtype in DTYPE_ROWS), format_size(d.cache["bfloat16"]),
        )
        for d in describe_sizes()
    ]  # fmt: skip


def show(description: Description, memory: dict[str, int]) -> None:
    """Print tables. memory (dict[str, int]): As `memory_here` returns it."""
    d = description
    rows = [
        ("Architecture", d.architecture),
        ("Hidden size", f"{d.hidden_size:,}"),
        ("Blocks", f"{d.n_layer}"),
        ("Heads", f"{d.n_head} of {d.hidden_size // d.n_head}"),
        ("Vocabulary", f"{d.vocab_size:,} rows"),
        ("Tokenizer", "none here" if d.n_pieces is None else f"{d.n_pieces:,} pieces"),
        ("Parameters", f"{d.parameters:,}"),
        ("Without embeddings", f"{d.parameters_without_embeddings:,}"),
        *(("Head", f"{name} {shape}") for name, shape in d.head.items()),
        *([] if d.labels is None else [("Labels", _labels(d.labels))]),
        (
            "Dtype of the files",
            ", ".join(f"{dtype} ({n:,} weights)" for dtype, n in d.dtypes.items()) or "no weights here",
        ),
        *(("File", cell) for cell in _files(d.files)),
        *([] if d.path is None else [("Directory", d.path)]),
    ]
    msg.table(rows, title=d.name)
    header = ("memory", "weights", CACHE, *(f"{place} ({format_size(n)})" for place, n in memory.items()))
    needs = [
        (
            row,
            format_size(d.weights[dtype]),
            format_size(d.cache[dtype]),
            *_fits(d.memory(dtype), memory.values()),
        )
        for dtype, row in DTYPE_ROWS.items()
    ]
    print(table(needs, header=_upper(header), divider=True, aligns=_right(header)))
    if d.problem is not None:
        msg.warn("The weights cannot be loaded", d.problem)


def to_json(description: Description, memory: dict[str, int]) -> dict:
    """RETURNS (dict): The description as JSON, and where its weights and the cache of 1,000 pieces fit."""
    d = description
    fits = {dtype: {place: d.memory(dtype) <= n for place, n in memory.items()} for dtype in d.weights}
    return {**asdict(d), "cached_pieces": CACHED_PIECES, "memory_here": memory, "fits_here": fits}


def memory_here() -> dict[str, int]:
    """RETURNS (dict[str, int]): Free bytes of the CPU's memory, if known, and the bytes of each GPU."""
    memory = {}
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        memory["CPU"] = min([kilobytes["MemAvailable"] * 1024, *_cgroup_memory()])
    except (OSError, KeyError, ValueError):  # not Linux: take all memory
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
            memory["CPU"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for i in range(torch.cuda.device_count()):
        memory[f"GPU {i}"] = torch.cuda.get_device_properties(i).total_memory
    return memory


def _cgroup_memory() -> list[int]:
    """RETURNS (list[int]): Bytes left under a container's limit; empty without one."""
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = (CGROUP / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no container, or "max"
        return []
    cached = int(stat[stat.index("inactive_file") + 1]) if "inactive_file" in stat else 0
    return [max(limit - used + cached, 0)]


def _fits(n_bytes: int, places: Iterable[int]) -> list[str]:
    return ["fits" if n_bytes <= n else f"{format_size(n_bytes - n)} short" for n in places]


def _files(files: Mapping[str, int]) -> list[str]:
    cells = [f"{name} ({format_size(size)})" for name, size in files.items()]
    if len(cells) <= MAX_FILES:
        return cells
    rest = sum(list(files.values())[MAX_FILES - 1 :])
    return [*cells[: MAX_FILES - 1], f"and {len(files) - MAX_FILES + 1} more ({format_size(rest)})"]


def _labels(labels: list[str]) -> str:
    shown = ", ".join(labels[:MAX_LABELS])
    rest = len(labels) - MAX_LABELS
    return shown if rest <= 0 else f"{shown} and {rest:,} more"


def _upper(header: Iterable[str]) -> list[str]:
    return [cell.upper() for cell in header]


def _right(header: Sequence[str]) -> list[Align]:
    aligns: list[Align] = ["r"] * len(header)
    aligns[0] = "l"
    return aligns
