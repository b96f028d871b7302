"""Encoding, decoding and a training step on one GPU, compared with Hugging Face's model and the peak rates of the GPU.

The peak rates are measured by a large product in the same dtype and a copy. Takes less than six minutes with
bloom-560m's geometry. Use `--device cpu --geometry small` to try out the script.
"""

import math
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
import transformers
from measuring import Geometry, median, new_parser, report
from save_load import GEOMETRIES

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification

OURS, THEIRS = "spacy_bloom", "transformers"
N_LABELS = 8
TOLERANCE = 0.05  # of the largest hidden state, in half precision


def seconds(function: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """RETURNS (float): The median time of a call, after a warm-up and with synchronisation of the device."""
    found = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        function()
        _wait(device)
        found.append(time.perf_counter() - start)
    return median(found[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peaks(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Operations per second of a large product, and bytes per second of a copy."""
    n = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    source = torch.empty(2**28 if device.type == "cuda" else 2**24, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = seconds(lambda: left @ right, device, 10)
    copy = seconds(lambda: target.copy_(source), device, 10)
    return 2 * n**3 / product, 2 * source.numel() / copy


def models(geometry: Geometry, head: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The models of both systems, with the same random weights."""
    torch.manual_seed(0)
    fields = dict(asdict(geometry), num_labels=N_LABELS)
    with torch.device(device):
        theirs = getattr(transformers, head)(transformers.BloomConfig(**fields)).to(dtype)
        kind = BloomForCausalLM if head == "BloomForCausalLM" else BloomForTokenClassification
        ours = kind(BloomConfig(**fields)).to(dtype)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    return {OURS: ours.eval(), THEIRS: theirs.eval()}


def operations(geometry: Geometry, pieces: int) -> float:
    """RETURNS (float): Multiplications and additions in the blocks' products in a forward pass, without attention."""
    return 24.0 * geometry.hidden_size**2 * geometry.n_layer * pieces


@torch.inference_mode()
def encode(
    options: Namespace, geometry: Geometry, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Encode texts of log-normal length, ours packed, theirs padded. RETURNS (dict): Seconds by system, work done."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(options.texts).log_normal_(math.log(100), 0.7, generator=generator)
    sizes = sorted(lengths.clamp(4, 512).long().tolist())
    ids = torch.randint(geometry.vocab_size, (sum(sizes),), generator=generator).to(device)
    padded = torch.nn.utils.rnn.pad_sequence(ids.split(sizes), batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence(
        [torch.ones_like(row) for row in ids.split(sizes)], batch_first=True
    )
    both = models(geometry, "BloomForCausalLM", device, dtype)
    ways = {
        OURS: lambda: both[OURS].transformer.encode_packed(ids, sizes),
        THEIRS: lambda: both[THEIRS].transformer(padded, attention_mask=mask).last_hidden_state,
    }
    ours, theirs = ways[OURS]().float(), ways[THEIRS]()[mask.bool()].float()
    gap = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    found = {system: seconds(way, device, options.repeats) for system, way in ways.items()}
    return {"seconds": found, "pieces": sum(sizes), "gap": gap}


@torch.inference_mode()
def decode(
    options: Namespace, geometry: Geometry, device: torch.device, dtype: torch.dtype, batch: int
) -> dict[str, float]:
    """RETURNS (dict[str, float]): New pieces per second by system."""
    both = models(geometry, "BloomForCausalLM", device, dtype)
    ids = torch.randint(10, geometry.vocab_size, (batch, 64), generator=torch.Generator().manual_seed(0))
    ids, found = ids.to(device), {}
    for system, model in both.items():
        fixed = {"attention_mask": torch.ones_like(ids), "do_sample": False}

        def run(new: int, model: Any = model, fixed: dict[str, Any] = fixed) -> None:
            model.generate(ids, max_new_tokens=new, min_new_tokens=new, **fixed)

        whole = seconds(lambda run=run: run(1 + options.new), device, options.repeats)
        first = seconds(lambda run=run: run(1), device, options.repeats)
        found[system] = batch * options.new / (whole - first)
    return found


def train(
    options: Namespace, geometry: Geometry, device: torch.device, dtype: torch.dtype
) -> dict[str, float]:
    """RETURNS (dict[str, float]): Seconds per step with float32 weights under autocast, by system."""
    both = models(geometry, "BloomForTokenClassification", device, torch.float32)
    ids = torch.randint(geometry.vocab_size, (options.rows, 127), generator=torch.Generator().manual_seed(0))
    ids = ids.to(device)
    found = {}
    for system, model in both.items():
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def step(model: Any = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad()
            with torch.autocast(device.type, dtype=dtype):
                loss = model(ids, labels=ids % N_LABELS).loss
            loss.backward()
            optimizer.step()

        found[system] = seconds(step, device, options.repeats)
    return found


def options_from_command_line() -> Namespace:
    """RETURNS (Namespace): The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="560m", help="of bloom-560m, bloom-1b7, or small"
    )
    parser.add_argument("--texts", type=int, default=256, help="texts to encode at once")
    parser.add_argument("--rows", type=int, default=32, help="rows per training batch, 127 pieces each")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="batch sizes, in prompts")
    parser.add_argument("--new", type=int, default=64, help="pieces after the first")
    parser.add_argument("--repeats", type=int, default=5, help="number of timed calls")
    return parser.parse_args()


def main() -> int:
    """RETURNS (int): 1 if hidden states differ by more than can be explained by half precision, else 0."""
    options = options_from_command_line()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    geometry = GEOMETRIES[options.geometry]
    torch.set_num_threads(options.threads)
    flops, bandwidth = peaks(device, dtype)
    rows, notes = [], {"peak, TFLOP/s": flops / 1e12, "bandwidth, GB/s": bandwidth / 1e9}
    encoded = encode(options, geometry, device, dtype)
    done = operations(geometry, encoded["pieces"])
    speeds = {system: encoded["pieces"] / s for system, s in encoded["seconds"].items()}
    rows.append(_row("encode, pieces/s", speeds, done / encoded["seconds"][OURS] / flops))
    # In each step, all matrices are read once, including the embedding as the head.
    read = geometry.n_bytes / 4 * dtype.itemsize
    for batch in options.batches:
        speeds = decode(options, geometry, device, dtype, batch)
        rows.append(_row(f"decode {batch}, pieces/s", speeds, read * speeds[OURS] / batch / bandwidth))
    steps = train(options, geometry, device, dtype)
    done = 3 * operations(geometry, options.rows * 127)
    rows.append(_row("training, steps/s", {n: 1 / s for n, s in steps.items()}, done / steps[OURS] / flops))
    notes[f"largest difference of hidden states (bound {TOLERANCE})"] = encoded["gap"]
    if device.type == "cuda":
        notes["GiB at the peak"] = torch.cuda.max_memory_allocated(device) / 2**30
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    report(f"{options.geometry} in {options.dtype} on {name}", rows, notes, options.json)
    return int(not encoded["gap"] <= TOLERANCE)


def _row(what: str, speeds: dict[str, float], share: float) -> dict[str, Any]:
    ratio = speeds[OURS] / speeds[THEIRS]
    return {"what": what, **speeds, "times": ratio, "share of the card's peak": share}


if __name__ == "__main__":
    sys.exit(main())
