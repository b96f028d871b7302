"""Gold Docs in groups, and what a pipeline makes of their texts."""

from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ...corpora.doc_files import read_docs
from ...errors import InputError
from ...pipeline.answering.answers import get_answers

NO_GROUP = "(none)"


class GoldDoc(NamedTuple):
    """A gold Doc and the group that it is in."""

    group: str
    doc: Doc


def read_gold(path: Path, vocab: Vocab, *, split: str = "test", by: str = "lang") -> List[GoldDoc]:
    """Read gold Docs, sorted by group.

    path (Path): A `.spacy` file, or a folder as `convert-data` writes it.
    vocab (Vocab): The pipeline's.
    split (str): The split to read from a folder.
    by (str): What groups them: a key of `doc.user_data`. A "lang" that a Doc does not have is in its file's name.
    RETURNS (list[GoldDoc]): The Docs.
    RAISES (InputError): There are none, or a file is damaged.
    """
    found = []
    for file in find_files(path, split):
        name = file.name.split(".")[1] if by == "lang" and file.name.count(".") > 1 else NO_GROUP
        found += [GoldDoc(str(doc.user_data.get(by, name)), doc) for doc in read_docs(file, vocab)]
    if not found:
        raise InputError(f"{path} has no Docs. Check that it was written completely.")
    if by != "lang" and all(gold.group == NO_GROUP for gold in found):
        keys = sorted({key for gold in found for key in gold.doc.user_data if isinstance(key, str)})
        raise InputError(f"Expected Docs with a user_data[{by!r}] to group them by; they have {keys}.")
    return sorted(found, key=lambda gold: gold.group)


def find_files(path: Path, split: str) -> List[Path]:
    """RETURNS (list[Path]): The file; of a folder, SPLIT.NAME.spacy files or, if there are none, SPLIT.spacy.
    RAISES (InputError): There is none.
    """
    if path.is_file():
        return [path]
    files = sorted(path.glob(f"{split}.*.spacy")) or sorted(path.glob(f"{split}.spacy"))
    if not files:
        raise InputError(
            f"{path} holds no {split}.NAME.spacy and no {split}.spacy; `convert-data` writes them. Name another split "
            "with --split, or a .spacy file."
        )
    return files


def annotate(
    nlp: Language, gold: Iterable[GoldDoc], *, gold_tokens: bool = False, batch_size: Optional[int] = None
) -> Iterator[Tuple[str, Example]]:
    """Run a pipeline on the texts of gold Docs.

    gold_tokens (bool): Take the gold tokens, instead of those that the pipeline makes of the text.
    YIELDS (tuple[str, Example]): The group, and the pair of a predicted and a gold Doc.
    """
    pairs = ((_unannotated(nlp, one.doc, gold_tokens), one) for one in gold)
    for doc, one in nlp.pipe(pairs, as_tuples=True, batch_size=batch_size):
        yield one.group, Example(doc, one.doc)


def _unannotated(nlp: Language, gold: Doc, gold_tokens: bool) -> Doc:
    if gold_tokens:
        words, spaces = [token.text for token in gold], [bool(token.whitespace_) for token in gold]
        doc = Doc(nlp.vocab, words, spaces)
    else:
        doc = nlp.make_doc(gold.text)
    questions = list(get_answers(gold))
    if questions and Doc.has_extension("questions"):
        doc._.questions = questions
    return doc
