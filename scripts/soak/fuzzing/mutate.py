"""Damage and malice: bytes that are flipped, cut and spliced; values that change their type, size and depth."""

import copy
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Sizes and offsets where arithmetic breaks.
NUMBERS = (
    0, 1, -1, 2, 7, 8, 255, 256, 65535, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53, 2**60, 2**63 - 1, 2**63,
    2**64 - 1, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
TEXTS = (
    "", "x", "../x", "../../outside/canary", "/etc/passwd", "..", ".", "a/b", "a\\b", "C:\\x", "NUL", "\x00", "\ud800",
    "\u202e", "None", "null", "1", "-1", "1e999", "true", "<s>", "</s>", "{{ 7 * 7 }}", "os.system", "__class__",
    "__import__", "float32", "F32", "int8", "torch.float32", "x" * 5000, "é" * 300, "%s%n", "(a+)+$", "[", "\\", "$x",
)  # fmt: skip
Path = tuple[Any, ...]


def nested(depth: int, leaf: Any = 0, kind: type = list) -> Any:
    """RETURNS (Any): Lists or dicts inside of each other."""
    value = leaf
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def strange(random: Random) -> Any:
    """RETURNS (Any): A value of any type JSON has."""
    return random.choice(
        (
            lambda: random.choice(NUMBERS),
            lambda: random.choice(TEXTS),
            lambda: random.choice((None, True, False, [], {}, [[]], [{}], {"": {}})),
            lambda: nested(random.choice((3, 60)), kind=random.choice((list, dict))),
            lambda: [random.choice(NUMBERS) for _ in range(random.randrange(1, 6))],
            lambda: {random.choice(TEXTS): random.choice(NUMBERS) for _ in range(random.randrange(1, 4))},
        )
    )()


def places(value: Any, limit: int = 400) -> list[Path]:
    """RETURNS (list[Path]): Ways to what a value holds, at any depth; the first ones of large values."""
    found: list[Path] = []
    todo: list[tuple[Path, Any]] = [((), value)]
    while todo and len(found) < limit:
        path, here = todo.pop(0)
        keys: Sequence[Any] = ()
        if isinstance(here, dict):
            keys = list(here)
        elif isinstance(here, list):
            keys = range(len(here))
        for key in list(keys)[:60]:
            found.append((*path, key))
            todo.append(((*path, key), here[key]))
    return found


def holder(value: Any, path: Path) -> Any:
    """RETURNS (Any): What holds the last key of a path."""
    for key in path[:-1]:
        value = value[key]
    return value


def mutate_value(random: Random, value: Any, names: Sequence[str] = (), times: int = 1) -> Any:
    """names (Sequence[str]): Keys that may be added to the outermost mapping.
    RETURNS (Any): A changed copy.
    """
    value = copy.deepcopy(value)
    for _ in range(times):
        found = places(value)
        if not found or random.random() < 0.01:
            value = strange(random)
            continue
        path = random.choice(found)
        inside, key = holder(value, path), path[-1]
        other = random.choice(found)
        change = random.randrange(8)
        if change <= 2:
            inside[key] = strange(random)
        elif change == 3:
            inside[key] = nudged(random, inside[key])
        elif change == 4:
            del inside[key]
        elif change == 5:
            inside[key] = copy.deepcopy(holder(value, other)[other[-1]])
        elif change == 6 and isinstance(inside, dict):
            inside[random.choice(TEXTS)] = inside.pop(key)
        elif isinstance(value, dict):
            value[random.choice(names) if names else random.choice(TEXTS)] = strange(random)
    return value


def nudged(random: Random, value: Any) -> Any:
    """RETURNS (Any): Nearly the same value, or the same in another type."""
    if isinstance(value, bool):
        return random.choice((not value, int(value), str(value)))
    if isinstance(value, (int, float)):
        third = value / 3 if abs(value) < 2**70 else 0.5
        return random.choice((value + 1, value - 1, -value, value * 2, third, str(value)[:40], [value]))
    if isinstance(value, str):
        cut = random.randrange(len(value) + 1)
        return random.choice(
            (value[:cut], value + value, value[:cut] + "\x00" + value[cut:], value.upper(), [value])
        )
    if isinstance(value, list):
        return random.choice(
            (value[::-1], value + value, value[:-1], {str(i): part for i, part in enumerate(value)})
        )
    if isinstance(value, dict):
        return random.choice(([*value.values()], [*value], [*map(list, value.items())]))
    return strange(random)


def dump(random: Random, value: Any) -> bytes:
    """RETURNS (bytes): JSON, sometimes with a key twice, a long number, a deep nest, or another encoding."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.04 and text.startswith("{") and text != "{}":
        key = random.choice(list(value))
        text = f"{{{json.dumps(key)}: {json.dumps(strange(random))}, {text[1:]}"
    if random.random() < 0.01:
        deep = random.choice((900, 100_000))
        text = text.replace(":", f':{"[" * deep}{"]" * deep},"z":', 1)
    if random.random() < 0.005:
        text = text.replace("1", "1" * 5000, 1)
    encoding = random.choices(("utf8", "utf-8-sig", "utf-16", "latin-1"), (95, 2, 2, 1))[0]
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def mutate_bytes(random: Random, data: bytes, times: int = 1) -> bytes:
    """RETURNS (bytes): With bits flipped, parts cut out, doubled or exchanged, or large numbers written over it."""
    changed = bytearray(data)
    for _ in range(times):
        at = random.randrange(len(changed) + 1)
        length = min(random.choice((1, 2, 4, 8, 64, 1000)), len(changed) - at)
        change = random.randrange(8)
        if change == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif change == 1 and at < len(changed):
            changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif change == 2:
            del changed[at:]
        elif change == 3:
            del changed[at : at + length]
        elif change == 4:
            changed[at:at] = changed[at : at + length]
        elif change == 5:
            start = random.randrange(len(changed) + 1)
            changed[at : at + length] = changed[start : start + length]
        elif change == 6:
            number = random.choice([n for n in NUMBERS if isinstance(n, int) and 0 <= n < 2**64])
            changed[at : at + 8] = struct.pack(random.choice("<>") + "Q", number)
        else:
            changed[at:at] = random.choice(
                (b"\x00", b"\xff" * 9, b"{", b'"', b"[" * 200, b"\n", b"\xed\xa0\x80")
            )
    return bytes(changed)


def several(random: Random) -> int:
    """RETURNS (int): How often to change something: mostly once, to come past the first check."""
    return random.choices((1, 2, 3, 8), (60, 25, 10, 5))[0]


def mutate_json(random: Random, text: bytes, names: Sequence[str] = ()) -> bytes:
    """RETURNS (bytes): A JSON file with other values or, now and then, other bytes."""
    if random.random() < 0.15:
        return mutate_bytes(random, text, several(random))
    return dump(random, mutate_value(random, json.loads(text), names, several(random)))


def mutate_packed(
    random: Random, data: bytes, unpack: Callable[[bytes], Any], pack: Callable[[Any], bytes]
) -> bytes:
    """RETURNS (bytes): Bytes of a binary format with other values, or other bytes."""
    if random.random() < 0.3:
        return mutate_bytes(random, data, several(random))
    value = mutate_value(random, unpack(data), times=several(random))
    try:
        return pack(value)
    except Exception:  # a number too large for the format
        return mutate_bytes(random, data, several(random))
