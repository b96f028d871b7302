"""Make spaCy training data from treebanks of Universal Dependencies in many languages.

Reads `<lang>.<split>.conllu` with spaCy's converter, words of one token (French "du") merged as
`spacy convert --merge-subtokens` does, and saves `train.spacy`, `dev.spacy` and `test.spacy` with all treebanks, plus
`dev.<lang>.spacy` and `test.<lang>.spacy`. The language is on `doc.user_data["lang"]`. Tokens have `pos`, `tag`,
`lemma`, `head`, `dep` and `morph`.

    python scripts/convert_ud.py data/ud corpus --group 5 --no-morph
"""

import argparse
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from corpora import Report, add_group, table, write_corpus
from spacy.tokens import Doc
from spacy.training.converters import conllu_to_docs

COLUMNS = ("docs", "tokens")
WORD = re.compile(r"\d+([-.]\d+)?\t[^\t]+(\t[^\t]+){8}\Z")
EMPTY_NODE = re.compile(r"\d+\.")  # of an enhanced graph; no word of the text


def read_conllu(path: Path) -> str:
    """RETURNS (str): a file's sentences with a blank line between them, without comments and empty nodes.
    RAISES (ValueError): when a line is not a word's, or there is none.
    """
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf8").split("\n"), start=1):
        line = line.rstrip("\r")
        if line.startswith("#") or EMPTY_NODE.match(line) or (not line and not (lines and lines[-1])):
            continue
        if line and not WORD.match(line):
            raise ValueError(
                f"{path}, line {number}: got {line[:80]!r}, expected ten columns, a number first, with tabs "
                "between them."
            )
        lines.append(line)
    if not lines:
        raise ValueError(f"{path} holds no sentence. Remove it.")
    return "\n".join(lines)


def convert_file(path: Path, *, group: int = 1, morph: bool = True) -> tuple[list[Doc], Counter]:
    """Convert one treebank.

    path (Path): a CoNLL-U file.
    group (int): number of consecutive sentences in a Doc.
    morph (bool): keep the morphological features; without them `morphologizer` learns parts of speech alone.
    RETURNS (tuple[list[Doc], Counter]): the Docs, and how many there are of what.
    RAISES (ValueError): when a line is not understood.
    """
    text = read_conllu(path)
    try:
        docs = list(conllu_to_docs(text, n_sents=group, merge_subtokens=True, no_print=True))
    except (ValueError, IndexError) as error:  # spaCy names no file
        raise ValueError(f"{path} could not be converted: {error}") from error
    if not morph:
        for doc in docs:
            for token in doc:
                token.set_morph("")
    return docs, Counter(docs=len(docs), tokens=sum(map(len, docs)))


def convert(
    source: Path,
    target: Path,
    *,
    languages: Collection[str] | None = None,
    group: int = 1,
    morph: bool = True,
    seed: int = 0,
) -> Report:
    """Convert a folder of `<lang>.<split>.conllu` files.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    languages (Collection[str] | None): the treebanks to take; all by default.
    group (int), morph (bool): as `convert_file`.
    seed (int): of the order of the training Docs.
    RETURNS (Report): the counts by language and split.
    RAISES (ValueError): when the folder has no such files, or a line of one is not understood.
    """

    def read(path: Path, lang: str) -> tuple[list[Doc], Counter]:
        return convert_file(path, group=group, morph=morph)

    return write_corpus(source, target, "conllu", read, names=languages, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of LANG.SPLIT.conllu files")
    parser.add_argument("target", type=Path, help="folder for the .spacy files")
    parser.add_argument("--languages", nargs="+", metavar="LANG", help="treebanks to take (default: all)")
    add_group(parser)
    parser.add_argument("--no-morph", action="store_true", help="leave the morphological features out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of train.spacy (default 0)")
    args = parser.parse_args()
    options = {name: getattr(args, name) for name in ("languages", "group", "seed")}
    try:
        report = convert(args.source, args.target, morph=not args.no_morph, **options)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(table(report, COLUMNS))


if __name__ == "__main__":
    main()
