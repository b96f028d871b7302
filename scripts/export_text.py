"""Export the texts of a `.spacy` file as plain text to train a language model on, with one line per Doc and one file
per language.

    python scripts/export_text.py corpus/train.spacy text --known FOLDER

Texts that are also found in the files of FOLDER are left out, regardless of whitespace.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import spacy
from spacy.tokens import DocBin


def squeezed(text: str) -> str:
    """RETURNS (str): The text without whitespace."""
    return "".join(text.split())


def known_lines(folder: Path) -> set[str]:
    """RETURNS (set[str]): The lines of all .txt files in a folder, without whitespace."""
    return {squeezed(line) for path in folder.glob("*.txt") for line in path.open(encoding="utf8")}


def lines_by_language(corpus: Path, known: Iterable[str]) -> dict[str, list[str]]:
    """Sort the texts of a corpus by language.

    corpus (Path): A .spacy file whose Docs have their language in `user_data["lang"]`.
    known (Iterable[str]): Texts to leave out, without whitespace.
    RETURNS (dict[str, list[str]]): The texts of each language, without duplicates.
    """
    seen = set(known)
    lines = defaultdict(list)
    for doc in DocBin(store_user_data=True).from_disk(corpus).get_docs(spacy.blank("xx").vocab):
        key = squeezed(doc.text)
        if key not in seen:
            lines[doc.user_data["lang"]].append(" ".join(doc.text.split()))
            seen.add(key)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="a .spacy file")
    parser.add_argument("target", type=Path, help="folder for the .txt files")
    parser.add_argument(
        "--known", type=Path, metavar="FOLDER", help="leave out texts that are lines of its .txt files"
    )
    arguments = parser.parse_args()
    known = known_lines(arguments.known) if arguments.known else ()
    arguments.target.mkdir(parents=True, exist_ok=True)
    for lang, lines in lines_by_language(arguments.corpus, known).items():
        path = arguments.target / f"{arguments.corpus.parent.name}_{lang}.txt"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf8")
        print(f"{path.name}: {len(lines):,} lines")


if __name__ == "__main__":
    main()
