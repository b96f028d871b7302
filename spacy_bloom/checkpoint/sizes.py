"""Sizes in bytes as text."""

import re

from ..errors import InputError
from ..settings import is_int

PREFIXES = "kMGT"
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(?:([KkMGT])([Ii]?))?B")


def parse_size(size: int | str) -> int:
    """size (int | str): Bytes, or text such as "500MB" and "2GB" (powers of 1,000) or "2GiB" (powers of 1,024).
    RETURNS (int): Bytes, 1 or more.
    RAISES (InputError): Any other value.
    SOURCE: Hugging Face's `max_shard_size`, but bits ("2Gb") are refused instead of divided by 8.
    """
    n_bytes = 0
    found = SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is not None:
        number, prefix, binary = found.groups()
        power = 0 if prefix is None else PREFIXES.lower().index(prefix.lower()) + 1
        n_bytes = int(float(number) * (1024 if binary else 1000) ** power)
    elif not isinstance(size, str) and is_int(size):
        n_bytes = size
    if n_bytes < 1:
        raise InputError(
            f"Expected a size of 1 byte or more, such as 500_000_000, '500MB' or '2GiB', got {size!r}."
        )
    return n_bytes


def format_size(n_bytes: int) -> str:
    """RETURNS (str): A size in powers of 1,000 with three significant digits, for example "1.12 GB"."""
    size, unit = float(n_bytes), "B"
    for prefix in PREFIXES:
        if size < 999.5:
            break
        size, unit = size / 1000, f"{prefix}B"
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:,.{digits}f} {unit}"
