"""Random and hostile texts through every component, one by one and in batches."""

import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.multilingual_tokenizer import spaced
from spacy_bloom.thinc_layers.pieces.windows import cut_docs

from . import _tiny
from .figures import Budget, Figure

BATCH = 64
NEAR = 1e-5
CONTROL = ["<s>", "</s>", "<pad>", "<unk>", "<|im_end|>", "\ue000", "{{", "{%", "$", "\\"]
BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
MARKS = "".join(chr(c) for c in range(0x300, 0x36F)) + "\u0e33\u200d\u20e3\ufe0f\U000e0061\U0001f3fb\u0489"
SCRIPTS = [
    *("Ana", "今", "กา", "ក្ក", "မြန်", "한국", "नमस्ते", "العربية", "עברית", "𒀀", "ꦗꦮ"),
    *("👩\u200d👩\u200d👧", "🇫🇷", "1⃣"),
]
SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2000\u2028\u2029\u202f\u205f\u3000"


def any_character(rng: random.Random) -> str:
    """RETURNS (str): Of any plane, assigned or not; halves of surrogate pairs are no text."""
    point = rng.choice(
        (rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x110000))
    )
    return chr(point) if not 0xD800 <= point < 0xE000 else "\ufffd"


def of_all_planes(rng: random.Random) -> str:
    return "".join(any_character(rng) for _ in range(rng.randrange(60)))


def of_scripts(rng: random.Random) -> str:
    joint = rng.choice(["", " ", "\u200b", "-", "\u00a0"])
    return joint.join(rng.choice(SCRIPTS) for _ in range(rng.randrange(1, 25)))


def of_marks(rng: random.Random) -> str:
    base = rng.choice(["e", "กา", "👍", "", " "])
    return (
        base + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 80))) + rng.choice(["", "x", "\n"])
    )


def of_controls(rng: random.Random) -> str:
    parts = [*CONTROL, *BIDI, *SPACES, "\0", "\x7f", "\ufeff", "\ufffe", "\uffff", *SCRIPTS]
    return "".join(rng.choice(parts) for _ in range(rng.randrange(1, 40)))


def of_repetition(rng: random.Random) -> str:
    part = rng.choice([*SCRIPTS, *CONTROL, "a", "'", ".", ",", "(", "-", "http://", "a@", ":)", "\n", "  "])
    return part * rng.randrange(1, 120)


def of_mutations(rng: random.Random) -> str:
    text = list(rng.choice(_tiny.SENTENCES))
    for _ in range(rng.randrange(1, 8)):
        place = rng.randrange(len(text) + 1)
        text[place : place + rng.randrange(4)] = rng.choice([any_character(rng), *CONTROL, *SPACES])
    return "".join(text)


MAKERS = (of_all_planes, of_scripts, of_marks, of_controls, of_repetition, of_mutations)


def texts(rng: random.Random) -> Iterator[str]:
    """YIELDS (str): Texts of all kinds by turns."""
    while True:
        for make in MAKERS:
            yield make(rng)


def soak(budget: Budget) -> Iterator[Figure]:
    """YIELDS (Figure): Of each component, and of the time that long texts take."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="texts-") as folder:
        checkpoint = _tiny.write_checkpoint(Path(folder) / "checkpoint")
        yield from _timed("lengths, 10,000 to 1,000,000 characters", budget, lengths(checkpoint))
        shares: dict[str, tuple[float, Callable[[Budget], Figure]]] = {
            "tokenizers and alignment": (0.55, lambda b: cut(b, checkpoint)),
            **{name: (share, _piped(name, make)) for name, share, make in components(checkpoint)},
        }
        left = sum(share for share, _ in shares.values())
        inputs = budget.inputs
        for kind, (share, run) in shares.items():
            part = budget.part(inputs * share, budget.left * share / left)
            left -= share
            start = time.monotonic()
            figure = run(part)
            figure.kind, figure.seconds = kind, time.monotonic() - start
            yield figure


def _timed(kind: str, budget: Budget, run: Callable[[Budget], Figure]) -> Iterator[Figure]:
    start = time.monotonic()
    figure = run(budget)
    figure.kind, figure.seconds = kind, time.monotonic() - start
    yield figure


def components(checkpoint: Path) -> Iterator[tuple[str, float, Callable[[], Language]]]:
    """YIELDS (tuple): A component's name, its share of all texts, and what makes its pipeline."""
    few = {"max_new_tokens": 3, "max_prompt_pieces": 10**6}  # no text is refused
    pick = {"labels": ["yes", "no"], "prompt": "{{ doc.text }} ->"}
    yield "random classifiers", 0.2, lambda: _tiny.trained(checkpoint, seed=3)
    yield "question answerer", 0.1, lambda: _tiny.answering(checkpoint, seed=3)
    yield "surprisal", 0.05, lambda: _tiny.speaking(checkpoint, "bloom_surprisal")
    yield "zero-shot", 0.03, lambda: _tiny.speaking(checkpoint, "bloom_zero_shot", **pick)
    yield "generator", 0.03, lambda: _tiny.speaking(checkpoint, "bloom_text_generator", **few)
    yield "bundled demo pipeline", 0.03, lambda: spacy.load(bundled("xx_bloom_tiny_demo"))
    yield "bundled question answerer", 0.01, lambda: spacy.load(bundled("xx_bloom_tiny_qa"))


def bundled(name: str) -> Path:
    from spacy_bloom import bundled_path

    return bundled_path(name)


def keep(budget: Budget, kind: str, text: str, number: int) -> None:
    (budget.kept / f"{kind.replace(' ', '-')}-{number}.txt").write_text(text, "utf8", "surrogatepass")


def cut(budget: Budget, checkpoint: Path) -> Figure:
    """The tokenizer of words, BLOOM's, and the alignment of both."""
    figure, rng = Figure("cut"), budget.random("cut")
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": _tiny.TOKENIZER}})
    for tokenizer in (
        BloomTokenizerFast.from_pretrained(checkpoint),
        BloomTokenizerFast.from_pretrained("tiny-bloom"),
    ):
        stream = texts(rng)
        while figure.tried < budget.inputs and budget.left > 0:
            with nlp.memory_zone():
                batch = [next(stream) for _ in range(BATCH)]
                docs = [nlp.make_doc(text) for text in batch]
                for text, doc, pieces in zip(batch, docs, cut_docs(tokenizer, docs), strict=True):
                    figure.tried += 1
                    for wrong in wrong_cuts(tokenizer, text, doc, pieces):
                        figure.found.append(f"{text[:60]!r}: {wrong}")
                        keep(budget, "cut", text, figure.tried)
            if tokenizer.name_or_path != "tiny-bloom" and figure.tried >= budget.inputs / 2:
                break
    return figure


def wrong_cuts(tokenizer: Any, text: str, doc: Doc, pieces: Any) -> Iterator[str]:
    """YIELDS (str): What is not as promised: invariant 3 of docs/architecture.md."""
    if doc.text != text:
        yield "the Doc has another text"
    if tokenizer.decode(pieces.ids.tolist(), clean_up_tokenization_spaces=False) != text:
        yield "the pieces spell another text"
    starts, ends = pieces.offsets[:, 0], pieces.offsets[:, 1]
    if len(pieces.ids) and ((starts < 0).any() or (ends > len(text)).any() or (starts > ends).any()):
        yield "offsets outside the text"
    if len(doc) and len(pieces.align.lengths) != len(doc):
        yield "another number of tokens is aligned"
    first = 0
    for token, length in zip(doc, pieces.align.lengths.tolist(), strict=False):
        own = pieces.align.data[first : first + length, 0]
        first += length
        if not length:
            yield f"token {token.i} has no piece"
            continue
        end = token.idx + len(token)
        others = (starts[own] >= end).any() or (ends[own] <= token.idx).any()
        if others and ((starts < end) & (ends > token.idx)).any():
            yield f"token {token.i} has pieces of other tokens"


def _piped(name: str, make: Callable[[], Language]) -> Callable[[Budget], Figure]:
    return lambda budget: piped(name, budget, make())


def piped(name: str, budget: Budget, nlp: Language) -> Figure:
    """Texts in batches, and some of them alone: equal results, and spans that are where they say."""
    figure, rng, alone = Figure(name), budget.random(name), 0
    stream = texts(rng)
    failed: list[str] = []
    nlp.set_error_handler(lambda _, __, docs, error: failed.append(f"{docs[0].text[:40]!r}: {error!r}"))
    while figure.tried < budget.inputs and budget.left > 0:
        with nlp.memory_zone():
            batch = [next(stream) for _ in range(BATCH)]
            docs = list(nlp.pipe(batch, batch_size=BATCH))
            figure.tried += len(batch)
            if len(docs) < len(batch):
                figure.found += [f"{name}: {one}" for one in failed]
                failed.clear()
                continue
            for text, doc in zip(batch, docs, strict=True):
                figure.found += [f"{name}, {text[:60]!r}: {wrong}" for wrong in wrong_spans(text, doc)]
            for place in rng.sample(range(BATCH), 6):
                alone += 1
                gap = distance(written(docs[place]), written(nlp(batch[place])))
                if gap > NEAR:
                    figure.found.append(f"{name}, {batch[place][:60]!r}: {gap:.1e} from alone")
                    keep(budget, name, "\x00\x00".join([batch[place], *batch]), figure.tried)
    figure.notes = {"compared with alone": alone}
    return figure


def wrong_spans(text: str, doc: Doc) -> Iterator[str]:
    if doc.text != text:
        yield "the Doc has another text"
    for span in (*doc.ents, *(span for group in doc.spans.values() for span in group)):
        if not 0 <= span.start < span.end <= len(doc) or text[span.start_char : span.end_char] != span.text:
            yield f"a span {span.start}:{span.end} is not where it says"


def written(doc: Doc) -> list[Any]:
    """RETURNS (list[Any]): What components have written; numbers stand for scores."""
    found: list[Any] = [(e.start, e.end, e.label_) for e in doc.ents]
    found += [key for pair in sorted(doc.cats.items()) for key in pair]
    for key, group in sorted(doc.spans.items()):
        found += [(key, s.start, s.end, s.label_) for s in group]
        found += [float(score) for score in group.attrs.get("scores", ())]
    for attr in ("generated", "perplexity", "bits_per_byte"):
        if Doc.has_extension(attr):
            found.append(doc._.get(attr))
    if Doc.has_extension("perplexity"):
        found += [token._.surprisal for token in doc]
    return found


def distance(one: Sequence[Any], other: Sequence[Any]) -> float:
    """RETURNS (float): The largest difference of two numbers, relative to those above 1; infinity for other values."""
    if len(one) != len(other):
        return float("inf")
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        if isinstance(a, float) and isinstance(b, float):
            if a != b and not (a != a and b != b):
                largest = max(largest, abs(a - b) / max(1.0, abs(a), abs(b)))
        elif a != b:
            return float("inf")
    return largest


SIZES = (10_000, 100_000, 1_000_000)
LONG = {
    "no space": "a",
    "digits": "7",
    "Han": "山",
    "marks": "\u0301",
    "stacked consonants": "\u1780\u17d2",
    "joined emoji": "👩\u200d",
    "flags": "🇫",
    "keycaps": "1\ufe0f",
    "white space": " ",
    "line ends": "\n",
    "mixed white space": " \t\u3000",
    "apostrophes": "'",
    "brackets": "(",
    "full stops": ".",
    "hyphens": "a-",
    "elisions": "l'",
    "elisions in a row": "jusqu'",
    "web addresses": "http://a.",
    "mail": "a@",
    "control tokens": "</s>",
    "bidi": "\u202e\u202d",
    "alternating scripts": "a山",
    "nul": "\0",
    "private use": "\U000f0000",
    "unassigned": "\U000e0fff",
    "emoticons": ":-(",
    "units": "1km",
    "dots between": "a.b",
}


def library_seconds(bloom: BloomTokenizerFast, text: str) -> float:
    """RETURNS (float): Time of the tokenizers library for a text, without what we add."""
    start = time.process_time()
    bloom.backend_tokenizer.encode(text, add_special_tokens=False)
    return time.process_time() - start


def lengths(checkpoint: Path) -> Callable[[Budget], Figure]:
    """Time for a text ten times as long must not be more than twenty times as long, unless the tokenizers library alone
    takes as long: its heap of pairs takes n log n, and leaves the processor's caches after 100,000 characters.
    """

    def run(budget: Budget, sizes: Sequence[int] = SIZES) -> Figure:
        figure = Figure("lengths")
        nlp = spacy.blank("xx", config={"nlp": {"tokenizer": _tiny.TOKENIZER}})
        bloom = BloomTokenizerFast.from_pretrained(checkpoint)
        ways: dict[str, Callable[[str], object]] = {
            "spaced": spaced,
            "words": nlp.make_doc,
            "pieces": lambda text: bloom.encode_plain([text]),
        }
        slowest, theirs = ("", 0.0), 0
        for what, part in LONG.items():
            for way, work in ways.items():
                seconds = []
                for size in sizes:
                    text = (part * (size // len(part) + 1))[:size]
                    with nlp.memory_zone():
                        start = time.process_time()
                        work(text)
                        seconds.append(max(time.process_time() - start, 1e-4))
                    figure.tried += 1
                    if seconds[-1] > slowest[1]:
                        slowest = (f"{what}, {way}", seconds[-1])
                    if len(seconds) > 1 and seconds[-1] > 20 * max(seconds[-2], 0.005):
                        if way == "pieces" and seconds[-1] < 1.5 * library_seconds(bloom, text):
                            theirs += 1
                            continue
                        shown = ", ".join(f"{s:.3f}" for s in seconds)
                        figure.found.append(f"{what}, {way}: {shown} s for 10 times as many characters each")
                        break
        figure.notes = {
            "slowest": f"{slowest[1]:.1f} s ({slowest[0]})",
            "as slow in the library alone": theirs,
        }
        return figure

    return run
