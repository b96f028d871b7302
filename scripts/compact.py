"""Round the matrices of a bundled checkpoint or pipeline, so that they compress better and the wheel stays small.

    python scripts/compact.py spacy_bloom/assets/xx_bloom_tiny_demo --levels 127

The values of a row are rounded to multiples of a power of two, with at most LEVELS of them up to the largest value. 127
levels have the resolution of int8. Formats, dtypes and sizes of the files stay the same.
"""

import argparse
from pathlib import Path

import numpy
import srsly
from safetensors.numpy import load_file, save_file

CHECKPOINT = "*.safetensors"
HEADS = ("model", "head")  # thinc's files
LONG = 10_000  # numbers; a bias has fewer


def round_rows(matrix: numpy.ndarray, levels: int) -> numpy.ndarray:
    """RETURNS (numpy.ndarray): A matrix with rounded rows. Other arrays are returned unchanged, unless they are long:
    the matrix of thinc's sparse linear layer is one row.
    """
    if (matrix.ndim < 2 and matrix.size < LONG) or matrix.dtype.kind != "f" or not matrix.size:
        return matrix
    if matrix.ndim < 2:
        return round_rows(matrix[None], levels)[0]
    values = matrix.astype("float64")
    largest = numpy.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    with numpy.errstate(divide="ignore"):
        step = numpy.exp2(numpy.ceil(numpy.log2(largest / levels)))
    rounded = numpy.where(largest > 0, numpy.rint(values / numpy.where(step > 0, step, 1.0)) * step, 0.0)
    return rounded.astype(matrix.dtype)


def compact(folder: Path, levels: int) -> list[Path]:
    """Round all matrices in a folder, in place.

    folder (Path): A checkpoint, or a pipeline with checkpoints and heads.
    levels (int): The number of steps between 0 and the largest value of a row.
    RETURNS (list[Path]): The files that were changed.
    """
    written = []
    for path in sorted(folder.rglob(CHECKPOINT)):
        weights = {name: round_rows(array, levels) for name, array in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
        written.append(path)
    for path in sorted(file for name in HEADS for file in folder.rglob(name) if file.is_file()):
        content = srsly.read_msgpack(path)
        content["params"] = [
            {name: array if array is None else round_rows(array, levels) for name, array in params.items()}
            for params in content["params"]
        ]
        srsly.write_msgpack(path, content)
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a checkpoint or pipeline; its files are overwritten")
    parser.add_argument(
        "--levels", type=int, default=127, help="steps up to the largest value of a row (default: 127)"
    )
    arguments = parser.parse_args()
    for path in compact(arguments.folder, arguments.levels):
        print(path)


if __name__ == "__main__":
    main()
