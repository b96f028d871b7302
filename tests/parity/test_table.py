"""docs/huggingface.md names every public attribute, method and argument of Hugging Face's classes, and what is here."""

import inspect
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom.generation.config import GenerationConfig

PAGE = Path(__file__).parents[2] / "docs" / "huggingface.md"
MODELS = (
    "BloomModel",
    "BloomForCausalLM",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomForQuestionAnswering",
)
FIELDS = dict(vocab_size=50, hidden_size=8, n_layer=1, n_head=2)
COMMON = "All five models"


@cache
def objects():
    """By section: an object of transformers and one of ours."""
    pairs = {"BloomConfig": (transformers.BloomConfig(), spacy_bloom.BloomConfig())}
    path = str(spacy_bloom.bundled_path("tiny-bloom"))
    tokenizers = [lib.BloomTokenizerFast.from_pretrained(path) for lib in (transformers, spacy_bloom)]
    pairs["BloomTokenizerFast"] = tuple(tokenizers)
    pairs["BatchEncoding"] = tuple(tokenizer("a") for tokenizer in tokenizers)
    for name in MODELS:
        pairs[name] = tuple(
            getattr(lib, name)(lib.BloomConfig(**FIELDS)) for lib in (transformers, spacy_bloom)
        )
    pairs["GenerationConfig"] = (transformers.GenerationConfig(), GenerationConfig())
    return pairs


def public(thing):
    inherited = set(dir(torch.nn.Module())) if isinstance(thing, torch.nn.Module) else set()
    return {name for name in dir(thing) if not name.startswith("_") and name not in inherited}


def arguments(thing, method):
    """Names of a method's arguments, and whether it takes others too; an empty list where there is none."""
    found = inspect.getattr_static(type(thing), method, None)
    if found is None or not callable(getattr(thing, method, None)):
        return [], False
    try:
        taken = inspect.signature(getattr(thing, method)).parameters.values()
    except (TypeError, ValueError):
        return [], False
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in taken if p.kind not in variable], any(p.kind is variable[0] for p in taken)


def with_arguments(thing, names):
    keys = set(names)
    for name in names:
        keys |= {f"{name}({argument})" for argument in arguments(thing, name)[0]}
    return keys


@cache
def surface():
    """By section: names, and arguments as `method(argument)`, of transformers."""
    found = {}
    for section, (theirs, _) in objects().items():
        names = public(theirs)
        special = {"BloomTokenizerFast": {"__init__", "__call__"}, "BatchEncoding": {"__init__"}}
        special |= {"BloomConfig": {"__init__"}} | {name: {"forward"} for name in MODELS}
        keys = with_arguments(theirs, names | special.get(section, set()))
        found[section] = keys - {"__init__", "__call__", "forward"}
    common = set.intersection(*(found[name] for name in MODELS)) - {"loss_function"}
    for name in MODELS:
        found[name] -= common
    return {COMMON: common, **found}


def read_page():
    """By section: what is here, by name."""
    sections, name = {}, None
    for line in PAGE.read_text(encoding="utf8").splitlines():
        if line.startswith("## "):
            name = line[3:]
        elif line.startswith("| `") and name is not None:
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            method, _, rest = cells[0].rpartition(": ")
            keys = re.findall(r"`([^`]+)`", rest)
            if method:
                keys = [f"{method.strip('`')}({key})" for key in keys]
            sections.setdefault(name, {}).update(dict.fromkeys(keys, cells[1]))
    return sections


def method_of(key):
    return key.partition("(")[0] if "(" in key else None


@pytest.mark.parametrize("section", [COMMON, "BloomConfig", "BloomTokenizerFast", "BatchEncoding", *MODELS])
def test_every_name_is_in_the_table(section):
    page = read_page().get(section, {})
    missing = {
        key
        for key in surface()[section]
        if key not in page and not page.get(method_of(key), "same").startswith(("refused", "other"))
    }
    assert sorted(missing) == []


def test_every_option_of_generation_is_in_the_table():
    test_every_name_is_in_the_table("GenerationConfig")


@pytest.mark.parametrize("section", [COMMON, *objects()])
def test_what_is_called_the_same_is_here(section):
    ours = objects()["BloomForCausalLM" if section == COMMON else section][1]
    for key, here in read_page().get(section, {}).items():
        assert here.startswith(("same", "safer: ", "refused: ", "other: ")), key
        if here.startswith(("same", "safer")) and key in surface()[section]:
            method, argument = method_of(key), key.partition("(")[2].rstrip(")")
            if method is None:
                assert hasattr(ours, key), key
            else:
                taken, others = arguments(ours, method)
                assert argument in taken or others, key


def test_the_shares_that_the_page_says():
    kinds = [here.split(":")[0] for section in read_page().values() for here in section.values()]
    counts = {kind: kinds.count(kind) for kind in ("same", "safer", "refused", "other")}
    own = len(kinds) - counts["other"]
    same = counts["same"] + counts["safer"]
    text = PAGE.read_text(encoding="utf8")
    share = 100 * same / own
    assert f"{len(kinds):,} names: {counts['same']:,} the same, {counts['safer']} safer" in text
    assert f"{counts['refused']} refused, {counts['other']} of other families" in text
    assert f"{share:.1f}%" in text and share >= 95
