"""Make spaCy training data from treebanks of Universal Dependencies in many languages.

Reads `<lang>.<split>.conllu` with spaCy's converter, one sentence to a Doc, words of one token (French "du") merged as
`spacy convert --merge-subtokens` does, and saves `train.spacy`, `dev.spacy` and `test.spacy` with all treebanks, plus
`dev.<lang>.spacy` and `test.<lang>.spacy`. The language is on `doc.user_data["lang"]`. Tokens have `pos`, `tag`,
`lemma`, `head`, `dep` and `morph`.

    python scripts/convert_ud.py data/ud corpus --no-morph
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from corpora import Report, table, write_corpus
from spacy.tokens import Doc
from spacy.training.converters import conllu_to_docs

COLUMNS = ("docs", "tokens")
WORD = re.compile(r"\d+(-\d+)?\t[^\t]+(\t[^\t]+){8}\Z")  # not the empty nodes of enhanced graphs


def read_conllu(path: Path) -> str:
    """RETURNS (str): a file's sentences, without comments.
    RAISES (ValueError): when a line is not a word's.
    """
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf8").split("\n"), start=1):
        line = line.rstrip("\r")
        if line and not line.startswith("#") and not WORD.match(line):
            raise ValueError(
                f"{path}, line {number}: got {line[:80]!r}, expected ten columns, a number first, with tabs "
                "between them."
            )
        lines += [] if line.startswith("#") else [line]
    return "\n".join(lines)


def convert_file(path: Path, *, morph: bool = True) -> tuple[list[Doc], Counter]:
    """Convert one treebank.

    path (Path): a CoNLL-U file.
    morph (bool): keep the morphological features; without them `morphologizer` learns parts of speech alone.
    RETURNS (tuple[list[Doc], Counter]): a Doc for each sentence, and how many there are of what.
    RAISES (ValueError): when a line is not understood.
    """
    docs = list(conllu_to_docs(read_conllu(path), n_sents=1, merge_subtokens=True, no_print=True))
    if not morph:
        for doc in docs:
            for token in doc:
                token.set_morph("")
    return docs, Counter(docs=len(docs), tokens=sum(map(len, docs)))


def convert(source: Path, target: Path, *, languages=None, morph: bool = True, seed: int = 0) -> Report:
    """Convert a folder of `<lang>.<split>.conllu` files.

    source (Path): the folder.
    target (Path): where the `.spacy` files go; is made if need be.
    languages (Collection[str] | None): the treebanks to take; all by default.
    morph (bool): as `convert_file`.
    seed (int): of the order of the training Docs.
    RETURNS (Report): the counts by language and split.
    RAISES (ValueError): when the folder has no such files, or a line of one is not understood.
    """

    def read(path: Path, lang: str) -> tuple[list[Doc], Counter]:
        return convert_file(path, morph=morph)

    return write_corpus(source, target, "conllu", read, names=languages, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="folder of LANG.SPLIT.conllu files")
    parser.add_argument("target", type=Path, help="folder for the .spacy files")
    parser.add_argument("--languages", nargs="+", metavar="LANG", help="treebanks to take (default: all)")
    parser.add_argument("--no-morph", action="store_true", help="leave the morphological features out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of train.spacy (default 0)")
    args = parser.parse_args()
    try:
        report = convert(
            args.source, args.target, languages=args.languages, morph=not args.no_morph, seed=args.seed
        )
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(table(report, COLUMNS))


if __name__ == "__main__":
    main()
