"""`python -m spacy bloom trim-vocab`: a checkpoint with only the pieces that a corpus uses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

from spacy.cli._util import Arg, Opt
from tqdm import tqdm
from wasabi import msg, table

from ..checkpoint.load import to_dtype
from ..checkpoint.sizes import format_size, parse_size
from ..checkpoint.sources import find_checkpoint
from ..checkpoint.writing import MAX_SHARD_SIZE
from ..conversion.convert import check_output
from ..conversion.description import Description, describe_directory
from ..conversion.proof import EncodingProof, OutputProof
from ..conversion.trim import CHECK_TEXTS, plan_trimming, trim_checkpoint
from .failures import check_folder
from .inputs import read_texts


def trim_vocab_cli(
    checkpoint: str = Arg(..., help="Directory in the Hugging Face layout, Hub name or bundled name"),
    corpus: Path = Arg(..., help='Texts: .txt (one per line), .jsonl (with "text"), .spacy, or a folder of these'),
    output_path: Path = Arg(..., help="Directory for the trimmed checkpoint"),
    min_count: int = Opt(1, "--min-count", "-m", min=1, help="Minimum number of times that a piece must occur; above 1, some texts get other pieces"),
    keep: Optional[List[Path]] = Opt(None, "--keep", "-k", help="More texts, such as prompts and labels: all their pieces are kept"),
    check_texts: int = Opt(CHECK_TEXTS, "--check-texts", "-c", min=0, help="Number of texts whose hidden states and logits are compared"),
    seed: int = Opt(0, "--seed", "-S", min=0, help="Seed for choosing these texts"),
    dtype: str = Opt("auto", "--dtype", "-d", help="float32, bfloat16 or float16; auto keeps that of the files"),
    max_shard_size: str = Opt(MAX_SHARD_SIZE, "--max-shard-size", "-s", help="Maximum file size, such as 500MB, 2GB or 2GiB"),
    revision: Optional[str] = Opt(None, "--revision", "-r", help="Branch, tag or commit on the Hub"),
    force: bool = Opt(False, "--force", "-F", help="Overwrite the checkpoint in the output directory"),
) -> None:  # fmt: skip
    """
    Keep the pieces that a corpus uses, the pieces they are merged from, all
    bytes and all control tokens, with their rows of the embedding and of an
    untied LM head. All other weights are unchanged. Any text can still be
    encoded: smaller pieces spell those that are gone.

    Before the output appears, every text of the corpus is shown to be encoded
    to the same pieces and decoded to the same text, and hidden states and
    logits of some texts are compared.
    """
    max_bytes, to = parse_size(max_shard_size), to_dtype(dtype)
    check_folder(output_path)
    check_output(output_path, 0, force)  # again with the size, when the texts have been read
    source = find_checkpoint(checkpoint, revision=revision)
    before = describe_directory(checkpoint, source)
    texts, further = Texts("Counting pieces", [corpus]), Texts("Further texts", keep or [])
    trimming = plan_trimming(source, texts, keep=further, min_count=min_count, dtype=to)
    texts.what = "Comparing encodings"
    with tqdm(total=trimming.plan.new_n_bytes, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        encodings, outputs = trim_checkpoint(
            trimming, output_path, check_texts=check_texts, seed=seed,
            max_shard_size=max_bytes, force=force, progress=bar.update,
        )  # fmt: skip
    after = describe_directory(str(output_path), output_path)
    show(before, after, encodings, outputs)
    msg.good("Saved the trimmed checkpoint", output_path.resolve())


@dataclass
class Texts:
    """Texts of files, read anew in each pass, with a progress bar in a terminal.

    what (str): The bar's label.
    paths (Sequence[Path]): As for `read_texts`.
    """

    what: str
    paths: Sequence[Path]

    def __iter__(self) -> Iterator[str]:
        texts = (text for path in self.paths for text in read_texts(path))
        yield from tqdm(texts, desc=self.what, unit=" texts", disable=None, leave=False)


def show(
    before: Description, after: Description, encodings: EncodingProof, outputs: Optional[OutputProof]
) -> None:
    """Print the sizes before and after, and the proof."""
    e = encodings
    disk = (sum(before.files.values()), sum(after.files.values()))
    rows = [
        _row("Pieces", before.n_pieces or 0, after.n_pieces or 0),
        _row("Rows of the embedding", before.vocab_size, after.vocab_size),
        _row("Parameters", before.parameters, after.parameters),
        ("On disk", *map(format_size, disk), _change(*disk)),
        _row("Pieces of the corpus", e.n_pieces, e.new_n_pieces),
        ("Bytes per piece", *(f"{e.n_bytes / max(n, 1):.3f}" for n in (e.n_pieces, e.new_n_pieces)), ""),
    ]
    print(table(rows, header=("", "BEFORE", "AFTER", "CHANGE"), divider=True, aligns=("l", "r", "r", "r")))
    if e.n_changed:
        msg.warn(
            f"{e.n_changed:,} of {e.n_texts:,} texts have other pieces than before (--min-count); all of them "
            "are decoded to the same text"
        )
    else:
        msg.good(f"All {e.n_texts:,} texts have the same pieces and are decoded to the same text")
    if outputs is None:
        msg.warn("Hidden states and logits were not compared (--check-texts)")
        return
    logits = "no LM head" if outputs.logits is None else f"logits of the kept pieces {outputs.logits:.3g}"
    msg.good(
        f"Largest difference in {outputs.n_texts} texts ({outputs.n_pieces:,} pieces): "
        f"hidden states {outputs.hidden_states:.3g}, {logits}"
    )


def _row(what: str, before: int, after: int) -> tuple[str, str, str, str]:
    return what, f"{before:,}", f"{after:,}", _change(before, after)


def _change(before: int, after: int) -> str:
    return f"{(after - before) / max(before, 1):+.1%}"
