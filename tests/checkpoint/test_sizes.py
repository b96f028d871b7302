import pytest
from transformers.utils.hub import convert_file_size_to_int

from spacy_bloom.checkpoint.sizes import format_size, parse_size
from spacy_bloom.errors import InputError


@pytest.mark.parametrize("size", [1, 20_000, "5GB", "500MB", "20KB", "2GiB", "3MiB", "1KiB", "1MIB"])
def test_sizes_are_hugging_faces(size):
    assert parse_size(size) == convert_file_size_to_int(size)


def test_forms_beyond_hugging_faces():
    assert [parse_size(size) for size in ("12B", "1.5GB", "2 GB", "7kB", "1TB", "0.5KiB")] == [
        12,
        1_500_000_000,
        2_000_000_000,
        7000,
        10**12,
        512,
    ]


@pytest.mark.parametrize(
    "size",
    [0, -1, True, 1.5, None, "", "2", "GB", "2Gb", "-1GB", "0MB", "0.1B", "2GBs", "1e3MB", "9" * 99 + "GB"],
)
def test_sizes_that_are_none(size):
    with pytest.raises(InputError, match=r"Expected a size .*'2GiB', got"):
        parse_size(size)


@pytest.mark.parametrize(
    "n_bytes, text",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_400, "999 kB"),
        (999_600, "1.00 MB"),
        (352_494_542_848, "352 GB"),
        (5_000 * 10**12, "5,000 TB"),
    ],
)
def test_three_digits(n_bytes, text):
    assert format_size(n_bytes) == text
