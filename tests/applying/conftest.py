import json
import random

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.vocab import Vocab

WORDS = ["Ana", "vive", "en", "Lima", "नदी", "河", "بيت", "Haus", "and", "then"]


@pytest.fixture(scope="session")
def ruled(tmp_path_factory):
    """A pipeline that marks Lima as a place, and needs no weights."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Lima"}])
    path = tmp_path_factory.mktemp("pipeline") / "ruled"
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="session")
def texts():
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=8)) for _ in range(57)]


@pytest.fixture()
def corpus(tmp_path, texts):
    """57 texts in three files, one of them in a folder."""
    folder = tmp_path / "corpus"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("\n\n".join(texts[:20]) + "\n", encoding="utf8")
    records = [{"text": text, "number": number, "lang": "es"} for number, text in enumerate(texts[20:45])]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "deep" / "b.jsonl").write_text(lines, encoding="utf8")
    DocBin(docs=spacy.blank("xx").pipe(texts[45:])).to_disk(folder / "deep" / "c.spacy")
    (folder / "README.md").write_text("no texts", encoding="utf8")
    return folder


def read_output(folder):
    """All Docs of an output, in the order of their files' names."""
    docs = []
    for path in sorted(folder.rglob("*.spacy")):
        docs.extend(DocBin(store_user_data=True).from_disk(path).get_docs(Vocab()))
    return docs
