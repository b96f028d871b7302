"""A bar over a long stream, for those who ask for one."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from spacy.language import Language
from tqdm import tqdm

UPDATE_SECONDS = 0.5


def pipe_with_bar(
    nlp: Language, texts: Iterable[Any], *, total: int | None = None, **options: Any
) -> Iterator[Any]:
    """As `nlp.pipe`, with a bar on the standard error: Docs and words so far, and the time left where an end is known.

    nlp (Language): The pipeline.
    texts (Iterable[Any]): What `nlp.pipe` takes.
    total (int | None): How many there are; None asks `texts`, if it has a length.
    **options: Those of `nlp.pipe`.
    YIELDS (Any): What `nlp.pipe` yields. Docs that fail are not among them, and not counted.
    """
    if total is None and isinstance(texts, Sized):
        total = len(texts)
    words = 0
    with tqdm(total=total, unit=" docs", mininterval=UPDATE_SECONDS) as bar:
        for found in nlp.pipe(texts, **options):
            words += len(found[0] if options.get("as_tuples") else found)
            bar.set_postfix(words=f"{words:,}", refresh=False)
            bar.update()
            yield found
