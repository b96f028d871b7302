"""Pipelines, mutated: what components write as files and bytes, and the folders they are in."""

import shutil
import traceback
from pathlib import Path
from random import Random
from typing import Any

import spacy
import srsly
from spacy.language import Language
from spacy.training import Example

from spacy_bloom.errors import BloomError

from .checkpoints import mutate_safetensors, write_checkpoint
from .mutate import TEXTS, mutate_bytes, mutate_json, mutate_packed, mutate_value, several

TEXT = "Ana lives in Peru."
FACTORIES = (
    "bloom_transformer", "bloom_token_classifier", "sentencizer", "ner", "textcat", "lemmatizer", "x",
    "merge_entities", "entity_ruler", "bloom_text_generator", "bloom_surprisal", "transformer", "tok2vec",
    "doc_cleaner", "../x",
)  # fmt: skip
FUNCTIONS = (
    "spacy-bloom.TransformerModel.v1", "spacy-bloom.LanguageModel.v2", "spacy.Tagger.v2",
    "spacy.copy_from_base_model.v1", "srsly.read_json.v1", "spacy.read_labels.v1", "spacy.HashEmbedCNN.v2",
    "os.system", "spacy-bloom.TextClassifier.v1", "spacy-bloom.TransformerListener.v1",
    "spacy.PretrainVectors.v1", "spacy.Corpus.v1", "thinc.x",
)  # fmt: skip


def make_pipeline(folder: Path, **settings: Any) -> Language:
    """RETURNS (Language): A trained pipeline with a tiny checkpoint in a folder."""
    write_checkpoint(folder)
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": str(folder), **settings}})
    nlp.add_pipe("bloom_token_classifier")
    nlp.add_pipe("bloom_text_classifier")
    gold = nlp.make_doc(TEXT)
    gold.ents = [gold.char_span(0, 3, "PER")]
    gold.cats = {"a": 1.0, "b": 0.0}
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), gold)])
    return nlp


def pack(value: Any) -> bytes:
    """RETURNS (bytes): msgpack. RAISES (Exception): A value it does not have."""
    return srsly.msgpack_dumps(value)


class Heads:
    """The file `model` of a token classifier."""

    name, weight = "saved head (thinc)", 6.0

    def prepare(self, folder: Path) -> None:
        self._nlp = make_pipeline(folder / "checkpoint")
        self._doc = self._nlp(TEXT)
        self._pipe = self._nlp.get_pipe("bloom_token_classifier")
        self._transformer = self._nlp.get_pipe("bloom_transformer")
        self._pipe.to_disk(folder / "pipe")
        self._file = folder / "pipe" / "model"
        self._good = self._file.read_bytes()

    def write(self, folder: Path, random: Random) -> None:
        self._file.write_bytes(self._good)
        try:
            self._pipe.from_disk(folder / "pipe")  # to undo what was read before
        except BloomError:
            self.prepare(folder)
        self._file.write_bytes(self._mutated(random))

    def _mutated(self, random: Random) -> bytes:
        if random.random() < 0.5:
            return mutate_packed(random, self._good, srsly.msgpack_loads, pack)
        message = srsly.msgpack_loads(self._good)
        part = random.choice(("nodes", "attrs", "params", "shims"))
        at = random.randrange(len(message[part]))
        filled = [i for i, one in enumerate(message[part]) if one] or [at]
        at = random.choice(filled)
        if part == "params":
            for name, value in message[part][at].items():
                change = random.randrange(6)
                if hasattr(value, "shape"):
                    other = (
                        value[:1],
                        value.T,
                        value.astype("float64"),
                        value.reshape(-1),
                        value.astype("int8"),
                        value * float("nan"),
                    )
                    message[part][at][name] = other[change].copy()
        else:
            message[part][at] = mutate_value(random, message[part][at])
        try:
            return pack(message)
        except (OverflowError, ValueError):  # numbers that msgpack does not have
            return mutate_bytes(random, self._good, several(random))

    def read(self, folder: Path) -> None:
        self._pipe.from_disk(folder / "pipe")
        doc = self._transformer(self._nlp.make_doc(TEXT))
        self._pipe(doc)
        assert all(0 <= ent.start < ent.end <= len(doc) for ent in doc.ents)


class Components(Heads):
    """The bytes of components."""

    name, weight = "from_bytes of components", 6.0

    def prepare(self, folder: Path) -> None:
        self._nlp = make_pipeline(folder / "checkpoint", mix_layers=True)
        self._nlp(TEXT)
        self._goods = {name: self._nlp.get_pipe(name).to_bytes() for name in self._nlp.pipe_names}
        self._chosen, self._data = "bloom_text_classifier", self._goods["bloom_text_classifier"]

    def write(self, folder: Path, random: Random) -> None:
        try:
            self._nlp.get_pipe(self._chosen).from_bytes(self._goods[self._chosen])
        except BloomError:
            self.prepare(folder)
        self._chosen = random.choice(("bloom_transformer", "bloom_transformer", *self._goods))
        self._data = self._mutated_component(random, self._goods[self._chosen])
        (folder / f"{self._chosen}.bytes").write_bytes(self._data)

    def _mutated_component(self, random: Random, good: bytes) -> bytes:
        if random.random() < 0.2:
            return mutate_packed(random, good, srsly.msgpack_loads, pack)
        message = srsly.msgpack_loads(good)
        name = random.choice([key for key in message if key != "vocab"])
        if name == "model" and self._chosen == "bloom_transformer":
            self._good = message[name]
            model = srsly.msgpack_loads(message[name])
            shims = next(shims for shims in model["shims"] if shims)
            shims[0] = self._mutated_shim(random, shims[0])
            message[name] = pack(model) if random.random() < 0.8 else self._mutated(random)
        elif isinstance(message[name], bytes):
            self._good = message[name]
            try:
                message[name] = self._mutated(random)
            except Exception:  # no model
                is_json = message[name][:1] == b"{"
                message[name] = (mutate_json if is_json else mutate_bytes)(random, message[name])
        return pack(message)

    def _mutated_shim(self, random: Random, good: bytes) -> bytes:
        if random.random() < 0.15:
            return mutate_bytes(random, good, several(random))
        parts = srsly.msgpack_loads(good)
        name = random.choice(sorted(parts))
        part = parts[name]
        if name in ("weights", "layer_mix", "adapter"):
            parts[name] = mutate_safetensors(random, part)
        elif random.random() < 0.1:
            parts[name] = random.choice((None, 5, [], {}, b"", "", *TEXTS[:5]))
        else:
            text = part.encode() if isinstance(part, str) else part
            changed = mutate_json(random, text)
            parts[name] = changed.decode("utf8", "replace") if isinstance(part, str) else changed
        return pack(parts)

    def read(self, folder: Path) -> None:
        self._nlp.get_pipe(self._chosen).from_bytes(self._data)
        doc = self._nlp(TEXT)
        assert len(doc) and all(0 <= ent.start < ent.end <= len(doc) for ent in doc.ents)


class Folders:
    """A pipeline's folder: any of its files. spaCy's own files may raise spaCy's errors."""

    name, weight = "pipeline folder", 1.5

    def prepare(self, folder: Path) -> None:
        make_pipeline(folder / "checkpoint").to_disk(folder / "pipeline")
        shutil.rmtree(folder / "checkpoint")
        shutil.copytree(folder / "pipeline", folder / "good")
        self._files = sorted(
            file for file in (folder / "good").rglob("*") if file.is_file() and file.stat().st_size
        )
        self._changed: Path | None = None

    def write(self, folder: Path, random: Random) -> None:
        good, target = folder / "good", folder / "pipeline"
        if self._changed is not None:
            (target / self._changed).write_bytes((good / self._changed).read_bytes())
        file = random.choice(
            (*self._files, *[good / "config.cfg"] * 12, *[good / "bloom_token_classifier" / "cfg"] * 3)
        )
        self._changed = file.relative_to(good)
        content = file.read_bytes()
        if file.name == "config.cfg":
            content = self._mutated_config(random, content.decode())
        elif file.suffix == ".safetensors":
            content = mutate_safetensors(random, content)
        elif content[:1] in b"{[":
            content = mutate_json(random, content)
        else:
            packed = file.name == "model"
            content = (
                mutate_packed(random, content, srsly.msgpack_loads, pack)
                if packed
                else mutate_bytes(random, content)
            )
        (target / self._changed).write_bytes(content)

    def _mutated_config(self, random: Random, text: str) -> bytes:
        lines = text.split("\n")
        for _ in range(several(random)):
            at = random.choice([i for i, line in enumerate(lines) if "=" in line] or [0])
            key = lines[at].partition("=")[0].strip()
            if key == "factory":
                lines[at] = f'factory = "{random.choice(FACTORIES)}"'
            elif key.startswith("@"):
                lines[at] = f'{key} = "{random.choice(FUNCTIONS)}"'
            elif random.random() < 0.7:
                values = (0, -1, 2**60, 1e308, True, None, [], {}, "../../canary", "${nlp.lang}", *TEXTS[:9])
                value = random.choice(values)
                lines[at] = f"{key} = {srsly.json_dumps(value)}"
            else:
                lines[at] = random.choice(
                    ("", f"{key} =", f"[{key}]", f"{key} = ${{components}}", lines[at] * 2)
                )
        return "\n".join(lines).encode("utf8", "replace")

    def read(self, folder: Path) -> None:
        try:
            doc = spacy.load(folder / "pipeline")(TEXT)
        except BloomError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = ["/spacy_bloom/" in frame.filename for frame in frames]
            changed = str(self._changed)
            of_spacy = changed in ("config.cfg", "meta.json", "tokenizer") or "vocab" in changed
            if own[-1] or (any(own) and not of_spacy):
                raise
            raise BloomError("spaCy's error") from error
        assert all(0 <= ent.start < ent.end <= len(doc) for ent in doc.ents)


KINDS = (Heads, Components, Folders)
