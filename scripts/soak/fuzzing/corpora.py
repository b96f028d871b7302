"""Corpora, mutated: lines of JSON, CoNLL, treebanks, and files of Docs."""

import zlib
from pathlib import Path
from random import Random

import spacy
import srsly
from spacy.tokens import Doc, DocBin, Span

from spacy_bloom.corpora.convert import KINDS as FORMATS
from spacy_bloom.corpora.convert import Settings
from spacy_bloom.corpora.doc_files import read_docs
from spacy_bloom.corpora.files import find_data_files

from .mutate import mutate_bytes, mutate_json, mutate_packed, several

LINES = {
    "cats": (
        {"text": "Good.", "label": "pos", "meta": {"a": 1}, "lang": "en"},
        {"text": "Bad, really.", "cats": {"pos": 0.0, "neg": 1.0}},
        {"text": "So.", "labels": ["pos", "neg"]},
    ),
    "spans": (
        {"text": "Ana lives in Peru.", "spans": [{"start": 0, "end": 3, "label": "PER"}, [13, 17, "LOC"]]},
        {"text": "Nobody 是 here", "entities": [[7, 8, "X"]]},
    ),
    "qa": (
        {
            "id": "1",
            "context": "Ana lives in Peru.",
            "question": "Where?",
            "answers": [{"text": "Peru", "start": 13}],
        },
        {"id": 2, "context": "Ana lives in Peru.", "question": "Who?", "answers": [], "article": "Ana"},
    ),
}
CONLL = "-DOCSTART- O\n\nAna B-PER\nlives O\nin O\nPeru B-LOC\n. O\n\n今 B-X\n天 I-X\n"
CONLLU = (
    "# newdoc id = a\n# sent_id = 1\n# text = Ana lives.\n1\tAna\tAna\tPROPN\tNNP\tNumber=Sing\t2\tnsubj\t_\t_\n"
    "2-3\tlives.\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n2\tlives\tlive\tVERB\tVBZ\t_\t0\troot\t_\tSpaceAfter=No\n"
    "3\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_\n\n"
)
SEPARATORS = (
    b"\t",
    b"\n",
    b" ",
    b"\r",
    b"\x0b",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"-",
    b"O",
    b"B-",
    b"I-\xff",
    b"99999999999999999999",
)


class Lines:
    """Lines of JSON: categories, spans, questions."""

    name, weight = "JSONL corpora", 16.0

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._nlp = spacy.blank("xx")
        self._format = "cats"
        self._file = folder / "a.train.jsonl"
        self._good = {name: [srsly.json_dumps(row).encode() for row in rows] for name, rows in LINES.items()}
        self._file.write_bytes(b"\n".join(self._good["cats"]))

    def write(self, folder: Path, random: Random) -> None:
        self._format = random.choice(sorted(LINES))
        lines = list(self._good[self._format])
        at = random.randrange(len(lines))
        names = ("text", "label", "labels", "cats", "spans", "entities", "answers", "meta", "lang", "id")
        lines[at] = mutate_json(random, lines[at], names)
        content = random.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines)
        self._file.write_bytes(mutate_bytes(random, content) if random.random() < 0.1 else content)

    def read(self, folder: Path) -> None:
        settings = Settings()
        format = FORMATS[self._format]
        for sample in format.read(self._nlp, find_data_files(folder, format.suffixes), settings):
            expect_sound(sample.doc)


class Columns(Lines):
    """CoNLL and treebanks."""

    name, weight = "CoNLL and CoNLL-U", 4.0

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        self._file.unlink()
        self._good = {"conll": CONLL.encode(), "conllu": CONLLU.encode()}
        self._format = "conll"
        self._file = folder / "a.train.conll"
        self._file.write_bytes(self._good["conll"])

    def write(self, folder: Path, random: Random) -> None:
        self._file.unlink(missing_ok=True)
        self._format = random.choice(sorted(self._good))
        self._file = folder / f"a.train.{self._format}"
        content = self._good[self._format]
        for _ in range(several(random)):
            if random.random() < 0.4:
                content = mutate_bytes(random, content)
            else:
                at = random.randrange(len(content) + 1)
                content = content[:at] + random.choice(SEPARATORS) + content[at + random.randrange(3) :]
        self._file.write_bytes(content)


def expect_sound(doc: Doc) -> None:
    """RAISES (AssertionError): A Doc's spans are not in its text."""
    text = doc.text
    text.encode("utf8")
    groups = [*doc.ents, *(span for group in doc.spans.values() for span in group)]
    for span in groups:
        assert 0 <= span.start <= span.end <= len(doc) and text[span.start_char : span.end_char] == span.text
    for token in doc:
        assert 0 <= token.head.i < len(doc)
        assert all(
            isinstance(text, str)
            for text in (str(token.morph), token.lemma_, token.dep_, token.pos_, token.ent_type_)
        )
    assert isinstance(doc.cats, dict) and isinstance(doc.user_data, dict)
    assert not doc.has_annotation("SENT_START") or len(list(doc.sents)) >= (len(doc) > 0)


class Docs:
    """`.spacy` files."""

    name, weight = ".spacy files", 12.0

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        nlp = spacy.blank("xx")
        doc = nlp("Ana lives in Peru .")
        doc.ents = [Span(doc, 0, 1, "PER")]
        doc.spans["a"] = [Span(doc, 3, 5, "LOC")]
        doc.cats = {"x": 1.0}
        doc.user_data["meta"] = {"a": [1]}
        for token in doc:
            token.dep_, token.head, token.pos_ = "dep", doc[1], "NOUN"
        self._vocab = nlp.vocab
        self._file = folder / "a.spacy"
        DocBin(docs=[doc, nlp("Two. Docs")], store_user_data=True).to_disk(self._file)
        self._good = zlib.decompress(self._file.read_bytes())

    def write(self, folder: Path, random: Random) -> None:
        change = random.random()
        if change < 0.1:
            self._file.write_bytes(mutate_bytes(random, self._file.read_bytes(), several(random)))
        elif change < 0.103:  # a bomb
            self._file.write_bytes(zlib.compress(self._good + bytes(random.choice((10**8, 3 * 10**8)))))
        elif change < 0.6:
            changed = mutate_packed(random, self._good, srsly.msgpack_loads, srsly.msgpack_dumps)
            self._file.write_bytes(zlib.compress(changed))
        else:
            message = srsly.msgpack_loads(self._good)
            name = random.choice(sorted(message.keys() - {"version"}))
            if isinstance(message[name], bytes):
                message[name] = mutate_bytes(random, message[name], several(random))
            else:
                parts = message[name]
                at = random.randrange(len(parts))
                part = parts[at]
                others = (part, 0, 2**40, -1, "x", 73, 74, 77, 79, 80, 452)
                parts[at] = mutate_bytes(random, part) if isinstance(part, bytes) else random.choice(others)
                if random.random() < 0.1:
                    del parts[at]
            self._file.write_bytes(zlib.compress(srsly.msgpack_dumps(message)))

    def read(self, folder: Path) -> None:
        for doc in read_docs(self._file, self._vocab):
            expect_sound(doc)


KINDS = (Lines, Columns, Docs)
