"""Lengths that programs are compiled for: few, so that a new length seldom means a new compilation."""

MIN_LENGTH = 16


def bucket(length: int) -> int:
    """RETURNS (int): The next of 16, 24, 32, 48, 64, 96 and so on: at most half as much again as the length beyond 16,
    and two programs for every doubling.
    """
    size = MIN_LENGTH
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size
