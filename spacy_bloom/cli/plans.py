"""Plans for models on several ranks, as tables and as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields

from wasabi import table

from ..checkpoint.sizes import format_size
from ..config import BloomConfig
from ..errors import InputError
from ..parallel.plan import ITEMSIZES, Plan, plan_tensor_parallel, plan_training

PARTS = [field.name for field in fields(Plan)]
WAYS: dict[str, Callable[..., Plan]] = {
    "generate, tensor parallel": plan_tensor_parallel,
    "train, FSDP2 and AdamW": plan_training,
}


@dataclass(frozen=True)
class Request:
    """What is planned for.

    n_ranks (int): Number of processes.
    dtype (str): Of the weights; in training, of what is computed.
    batch (int): Rows together on each rank.
    length (int): Pieces of a row.
    RAISES (InputError): No such dtype, or a number below 1.
    """

    n_ranks: int
    dtype: str
    batch: int
    length: int

    def __post_init__(self) -> None:
        if self.dtype not in ITEMSIZES:
            raise InputError(f"Expected --dtype to be one of {', '.join(ITEMSIZES)}, got {self.dtype!r}.")
        for name, value in (("ranks", self.n_ranks), ("batch", self.batch), ("length", self.length)):
            if value < 1:
                raise InputError(f"Expected --{name} of 1 or more, got {value}.")


def show_plans(configs: Mapping[str, BloomConfig], request: Request, *, as_json: bool) -> None:
    """Print what each rank reads, holds and needs, for each model and way.

    configs (Mapping[str, BloomConfig]): Geometries by name.
    request (Request): Ranks, dtype, rows and pieces.
    as_json (bool): Print JSON, with bytes.
    """
    plans = {
        name: {way: _plan(plan, config, request) for way, plan in WAYS.items()}
        for name, config in configs.items()
    }
    if as_json:
        print(json.dumps({"request": asdict(request), "plans": plans}, indent=2))
        return
    header = ["MODEL", "BYTES OF A RANK TO", *(name.upper() for name in (*PARTS, "peak"))]
    rows = [
        [name, way, *(format_size(plan[part]) for part in (*PARTS, "peak"))]
        for name, ways in plans.items()
        for way, plan in ways.items()
        if "problem" not in plan
    ]
    print(table(rows, header=header, divider=True, aligns=["l", "l", *"r" * (len(PARTS) + 1)]))
    for name, ways in plans.items():
        for way, plan in ways.items():
            if "problem" in plan:
                print(f"{name}, {way}: {plan['problem']}")


def _plan(plan: Callable[..., Plan], config: BloomConfig, request: Request) -> dict:
    """RETURNS (dict): The plan's parts and their sum; or why there is none."""
    try:
        found = plan(config, **asdict(request))
    except InputError as error:
        return {"problem": str(error)}
    return {**asdict(found), "peak": found.peak}
