import importlib.util
import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_bloom.pipeline.answering.answers import get_answers

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "qa"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script("convert_qa")
NLP = spacy.blank(
    "xx", config={"nlp": {"tokenizer": {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}}}
)


def item(name="en", id="1", article=None, context="c", question="q", answers=()):
    return script.Item(name, id, article, context, question, tuple(answers))


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf8")


def rows_of(context, n=3, article=None, answers=()):
    return [
        {
            "id": f"{context if article is None else article}-{i}",
            "context": context,
            "question": f"q{i}?",
            "answers": [{"text": text, "start": context.index(text)} for text in answers],
            **({"article": article} if article is not None else {}),
        }
        for i in range(n)
    ]


# Reading


def test_reading(tmp_path):
    write(tmp_path / "en.jsonl", rows_of("Ana in Lima", n=1, article=0, answers=["Lima"]))
    assert list(script.read_items(tmp_path / "en.jsonl")) == [
        item(id="0-0", article="0", context="Ana in Lima", question="q0?", answers=[("Lima", 7)])
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"id": 1, "context": "a", "question": "q"}',
        '{"id": 1, "context": "ab", "question": "q", "answers": [{"text": "b", "start": 0}]}',
        '{"id": 1, "context": "ab", "question": "q", "answers": [{"text": "", "start": 0}]}',
        '{"id": 1, "context": "ab", "question": null, "answers": []}',
        '{"id": 1, "context": ["ab"], "question": "q", "answers": []}',
    ],
)
def test_lines_that_are_no_questions(tmp_path, line):
    path = tmp_path / "en.jsonl"
    path.write_text(json.dumps(rows_of("a", 1)[0]) + "\n" + line, encoding="utf8")
    with pytest.raises(ValueError, match="line 2: expected id"):
        list(script.read_items(path))


def test_copies_of_a_question_are_merged():
    items = [
        item(id="1", answers=[("a", 0)]),
        item(id="2", answers=[("b", 1), ("a", 0)]),
        item(id="3", question="other"),
        item(id="4", name="fr"),
    ]
    assert [(each.id, each.answers) for each in script.merge(items)] == [
        ("1", (("a", 0), ("b", 1))),
        ("3", ()),
        ("4", ()),
    ]


# Splitting


def test_what_belongs_together():
    items = [
        item("en", "1", "0", "context one"),
        item("zh", "1", "0", "上下文"),  # the same id in another language
        item("zh", "2", "0", "另一个"),  # its article
        item("fr", "3", "0", "contexte"),  # another data set's article of the same name
        item("en", "4", None, "contexte"),  # the same context
        item("en", "5", None, "alone"),
    ]
    groups = [sorted(each.id for each in group) for group in script.group_items(items)]
    assert groups == [["1", "1", "2"], ["3", "4"], ["5"]]


some_items = st.lists(
    st.builds(
        item,
        name=st.sampled_from(["en", "zh"]),
        id=st.integers(0, 30).map(str),
        article=st.none() | st.integers(0, 9).map(str),
        context=st.integers(0, 30).map(str),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(items=some_items, seed=st.integers(0, 3))
def test_nothing_is_in_two_splits(items, seed):
    splits = script.split_items(items, dev=0.2, test=0.3, seed=seed)
    assert Counter(each for split in splits.values() for each in split) == Counter(items)
    where = defaultdict(set)
    for split, chosen in splits.items():
        for each in chosen:
            where["id", each.id].add(split)
            where["context", each.context].add(split)
            if each.article is not None:
                where["article", each.name, each.article].add(split)
    assert all(len(found) == 1 for found in where.values())
    again = script.split_items(items, dev=0.2, test=0.3, seed=seed)
    assert again == splits


def test_shares():
    items = [item(id=str(i), context=str(i)) for i in range(200)]
    splits = script.split_items(items, dev=0.1, test=0.2, seed=0)
    assert {split: len(chosen) for split, chosen in splits.items()} == {"train": 140, "dev": 20, "test": 40}
    assert splits != script.split_items(items, dev=0.1, test=0.2, seed=1)


# Docs


def test_answers_on_tokens():
    counts = Counter()
    doc = script.make_doc(
        NLP,
        item("zh", context="他在北京 since 1990s.", question="在哪?", answers=[("北京", 2), ("1990", 11)]),
        counts,
    )
    assert {q: [s.text for s in spans] for q, spans in get_answers(doc).items()} == {
        "在哪?": ["北京", "1990s"]
    }
    assert doc.user_data["lang"] == "zh"
    assert counts == {"exact": 1, "expanded": 1, "questions": 1, "tokens": len(doc)}


def load(path):
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(NLP.vocab))


def test_convert(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, where in (("en", "in Lima"), ("zh", "在 Lima")):
        write(
            source / f"{name}.jsonl",
            [row for i in range(10) for row in rows_of(f"Ana {i} {where}", article=i, answers=["Lima"])],
        )
    report = script.convert(source, tmp_path / "one", seed=1)
    script.convert(source, tmp_path / "two", seed=1)
    names = ["dev.en", "dev", "dev.zh", "test.en", "test", "test.zh", "train"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(f"{n}.spacy" for n in names)
    assert report["zh", "train"] == {"questions": 21, "exact": 21, "tokens": 84}
    numbers = {}
    for split in ("train", "dev", "test"):
        docs = load(tmp_path / "one" / f"{split}.spacy")
        assert [doc.text for doc in docs] == [doc.text for doc in load(tmp_path / "two" / f"{split}.spacy")]
        assert all(len(get_answers(doc)) == 1 for doc in docs)
        numbers[split] = {doc[1].text for doc in docs}
        for lang in ("en", "zh"):  # the same contexts in both
            assert {doc[1].text for doc in docs if doc.user_data["lang"] == lang} == numbers[split]
    assert [len(numbers[split]) for split in ("train", "dev", "test")] == [7, 1, 2]
    assert set.union(*numbers.values()) == {str(i) for i in range(10)}
    only = script.convert(source, tmp_path / "three", names=["en"])
    assert {name for name, _ in only} == {"en"}
    with pytest.raises(ValueError, match="no file"):
        script.convert(tmp_path, tmp_path / "four")


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared QA data is not beside the checkout (../shared/data/qa)"
)
def test_the_real_data():
    items = script.merge([each for path in sorted(DATA.glob("*.jsonl")) for each in script.read_items(path)])
    splits = script.split_items(items, dev=0.1, test=0.2, seed=0)
    for kind in ("context", "id"):
        found = [{getattr(each, kind) for each in chosen} for chosen in splits.values()]
        assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    counts = Counter()
    docs = [script.make_doc(NLP, each, counts) for each in splits["test"][::5]]
    assert all(doc.text == each.context for doc, each in zip(docs, splits["test"][::5], strict=True))
    assert counts["exact"] > 0.95 * counts["questions"] and not counts["dropped"]
    per_set = Counter(each.name for each in splits["test"])
    assert all(0.18 < per_set[name] / total < 0.25 for name, total in Counter(e.name for e in items).items())
