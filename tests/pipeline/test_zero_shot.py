import copy
import math
import pickle
import warnings

import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam
from transformers import BloomForCausalLM as HfModel
from transformers import BloomTokenizerFast as HfTokenizer

from spacy_bloom.errors import BloomWarning, ConfigError, InputError
from spacy_bloom.pipeline.prompting.zero_shot_questions import MULTI_LABEL_PROMPT, PROMPT
from spacy_bloom.pipeline.prompting.zero_shot_scores import fit_prompt
from spacy_bloom.pipeline.zero_shot import BloomZeroShot

NAME = "bloom_zero_shot"
LABELS = ["weather", "a long walk in the park", "ট্রেন", "</s>"]
TEXTS = [
    "The river was high in spring.",
    "",
    "今天天气很好，我们去公园散步吧。",
    " \n ",
    "What </s> is <pad> this? " * 5,
    "Il pleut",
    "The river was high in summer.",
]


@pytest.fixture
def make(checkpoint):
    """A function that makes a pipeline of the component on the random checkpoint."""

    def make_pipeline(**config):
        nlp = spacy.blank("xx")
        nlp.add_pipe(NAME, config={"model": {"name": checkpoint}, "labels": LABELS, **config})
        return nlp

    return make_pipeline


@pytest.fixture(scope="module")
def slow(checkpoint):
    """A function that scores one answer with one forward pass of transformers over prompt and answer."""
    model, tokenizer = HfModel.from_pretrained(checkpoint).eval(), HfTokenizer.from_pretrained(checkpoint)

    def encode(text):
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def score(prompt, answer, normalized=False):
        prompt_ids, ids = encode(prompt) or [tokenizer.eos_token_id], encode(answer)
        with torch.no_grad():
            rows = model(torch.tensor([prompt_ids + ids])).logits[0].double().log_softmax(dim=-1)
        pieces = [rows[len(prompt_ids) - 1 + i, piece].item() for i, piece in enumerate(ids)]
        return sum(pieces) / (len(pieces) if normalized else 1)

    return score


def softmax(scores):
    return torch.tensor(scores, dtype=torch.float64).softmax(dim=0).tolist()


def slow_cats(slow, text, *, multi_label=False, calibrated=False, normalized=False, labels=LABELS):
    """What the component should write, computed label by label."""

    def prompt(text, label):
        template = MULTI_LABEL_PROMPT if multi_label else PROMPT
        return template.replace("{{ doc.text }}", text).replace("{{ label }}", label)

    def likelihood(label, answer):
        found = slow(prompt(text, label), answer, normalized)
        return found - slow(prompt("N/A", label), answer, normalized) if calibrated else found

    if multi_label:
        return {label: softmax([likelihood(label, " yes"), likelihood(label, " no")])[0] for label in labels}
    return dict(zip(labels, softmax([likelihood(label, " " + label) for label in labels]), strict=True))


def expect_cats(found, expected):
    """Probabilities near 0, of labels of many pieces, are compared by their logarithms."""
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, abs=1e-5)
    assert logs(found) == pytest.approx(logs(expected), abs=1e-4)


def logs(cats):
    return {label: math.log(p) for label, p in cats.items()}


def gap(one, other):
    """How far the logarithms are from each other at most."""
    return max(abs(logs(one)[label] - logs(other)[label]) for label in LABELS)


def count_pieces(nlp, docs):
    """How many pieces, padding included, go through the first block."""
    rows = []
    hook = (
        nlp.get_pipe(NAME)
        .language_model.transformer.h[0]
        .register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[:2].numel()))
    )
    list(nlp.pipe(docs))
    hook.remove()
    return sum(rows)


# The numbers


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
def test_equals_one_forward_pass_per_label_and_doc(make, slow, multi_label, calibrated, normalized):
    settings = {"multi_label": multi_label, "calibrated": calibrated}
    nlp = make(length_normalized=normalized, **settings)
    for doc in nlp.pipe(TEXTS):
        expect_cats(doc.cats, slow_cats(slow, doc.text, normalized=normalized, **settings))
        if not multi_label:
            assert sum(doc.cats.values()) == pytest.approx(1.0, abs=1e-9)


def test_the_settings_matter(make):
    """The tests above compare numbers that differ."""
    text = TEXTS[0]
    found = [
        make(**config)(text).cats
        for config in (
            {},
            {"calibrated": True},
            {"length_normalized": True},
            {"multi_label": True},
            {"multi_label": True, "calibrated": True},
            {"calibrated": True, "content_free": ""},
            {"prompt": "{{ doc.text }}"},
        )
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert gap(one, other) > 1e-2


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_doc_does_not_depend_on_its_batch(make, multi_label):
    nlp = make(multi_label=multi_label, calibrated=True)
    alone = [nlp(text).cats for text in TEXTS]
    for options in ({}, {"batch_size": 2}, {"batch_size": 3}):
        for cats, doc in zip(alone, nlp.pipe(TEXTS, **options), strict=True):
            expect_cats(doc.cats, cats)
    for max_batch_items in (1, 50):
        small = make(multi_label=multi_label, calibrated=True, max_batch_items=max_batch_items)
        for cats, doc in zip(alone, small.pipe(TEXTS), strict=True):
            expect_cats(doc.cats, cats)


def test_a_prompt_is_computed_once_for_all_labels(make):
    nlp = make(labels=["weather", "river", "walk"])
    encode = nlp.get_pipe(NAME).tokenizer
    ids = {text: len(encode(text)["input_ids"]) for text in (" weather", " river", " walk")}
    longest = max(ids.values()) - 1
    prompt = len(encode(PROMPT.replace("{{ doc.text }}", TEXTS[0]))["input_ids"])
    assert longest > 0
    assert count_pieces(nlp, [TEXTS[0]]) <= prompt + 3 * longest


def test_the_text_is_computed_once_for_all_questions(make):
    nlp = make(multi_label=True)
    tokenizer = nlp.get_pipe(NAME).tokenizer
    text = "Il pleut depuis ce matin ; " * 20
    n_text = len(tokenizer(text)["input_ids"])
    rest = MULTI_LABEL_PROMPT.replace("{{ doc.text }}", "").replace("{{ label }}", LABELS[1])
    n_rest = len(tokenizer(rest)["input_ids"]) + 4  # of the longest question, and a longer answer
    assert count_pieces(nlp, [text]) < n_text + len(LABELS) * n_rest < 0.8 * len(LABELS) * n_text


def test_shared_beginnings_of_docs_are_computed_once(make):
    start = "A long introduction that every prompt begins with, whatever the text may be: "
    nlp = make(prompt=start + "{{ doc.text }}", labels=["a", "b"])
    texts = ["one", "two", "three", "four"]
    n_start = len(nlp.get_pipe(NAME).tokenizer(start)["input_ids"])
    assert n_start > 20
    assert count_pieces(nlp, texts) < n_start + 4 * 12


@pytest.mark.parametrize("label", ["weather", "a long walk in the park", "ট্রেন", "天气"])
def test_pieces_are_those_of_the_joint_text(make, label):
    tokenizer = make().get_pipe(NAME).tokenizer
    for prompt in (PROMPT.replace("{{ doc.text }}", TEXTS[0]), TEXTS[0], "今天"):
        pieces = [tokenizer(text)["input_ids"] for text in (prompt, f" {label}", f"{prompt} {label}")]
        assert pieces[0] + pieces[1] == pieces[2]


# What is asked


def test_prompts_and_verbalizers(make, slow):
    prompt = "One of {{ labels | join(', ') }}? {{ doc.text }}\nIt is"
    texts = {"SCI": " science", "LAW": "\nlaw"}
    nlp = make(labels=["SCI", "ART", "LAW"], verbalizers=texts, prompt=prompt)
    rendered = f"One of science, ART, law? {TEXTS[0]}\nIt is"
    expected = softmax([slow(rendered, answer) for answer in (" science", " ART", "\nlaw")])
    expect_cats(nlp(TEXTS[0]).cats, dict(zip(["SCI", "ART", "LAW"], expected, strict=True)))


def test_verbalizers_of_questions(make, slow):
    nlp = make(
        labels=["SCI", "ART"],
        verbalizers={"SCI": "science"},
        multi_label=True,
        prompt="{{ doc.text }} Is it {{ label }}?",
        yes=" oui",
        no=" non",
    )
    expected = {
        label: softmax([slow(f"{TEXTS[0]} Is it {name}?", answer) for answer in (" oui", " non")])[0]
        for label, name in {"SCI": "science", "ART": "ART"}.items()
    }
    expect_cats(nlp(TEXTS[0]).cats, expected)


@pytest.mark.parametrize("config", [{}, {"multi_label": True}, {"calibrated": True}])
def test_labels_of_docs_win(make, slow, config):
    nlp = make(**config)
    labels = [None, ["river", "LABEL"], ["bread", "weather", "river"], ("one",)]
    docs = [nlp.make_doc(TEXTS[0]) for _ in labels]
    for doc, own in zip(docs, labels, strict=True):
        doc._.labels = own
    for doc, own in zip(nlp.pipe(docs), labels, strict=True):
        expect_cats(doc.cats, slow_cats(slow, TEXTS[0], labels=list(own or LABELS), **config))


def test_other_labels_stay(make):
    nlp = make()
    doc = nlp.make_doc(TEXTS[0])
    doc.cats = {"other": 0.25, "weather": 7.0}
    doc = nlp(doc)
    assert set(doc.cats) == {"other", *LABELS} and doc.cats["other"] == 0.25
    assert sum(doc.cats[label] for label in LABELS) == pytest.approx(1.0)


def test_a_doc_without_text(make, slow):
    """It gets what the model expects of any text; a prompt of nothing begins as texts do in training."""
    nlp = make(prompt="{{ doc.text }}")
    expected = softmax([slow("", " " + label) for label in LABELS])
    expect_cats(nlp("").cats, dict(zip(LABELS, expected, strict=True)))
    assert list(nlp.pipe([])) == []


def test_user_text_is_no_template(make, slow):
    text = "{{ doc.vocab }} {% for x in y %} {{ 7 * 7 }}"
    nlp = make(labels=["{{ doc }}", "b"])
    expect_cats(nlp(text).cats, slow_cats(slow, text, labels=["{{ doc }}", "b"]))


unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_labels = st.lists(unicode.filter(str.strip), min_size=1, max_size=4, unique=True)


@pytest.fixture(scope="module")
def pipelines(checkpoint):
    """One for each mode, by (multi_label, calibrated)."""
    made = {}
    for multi_label in (False, True):
        for calibrated in (False, True):
            nlp = made[multi_label, calibrated] = spacy.blank("xx")
            config = {"model": {"name": checkpoint}, "multi_label": multi_label, "calibrated": calibrated}
            nlp.add_pipe(NAME, config=config)
    return made


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(unicode, some_labels), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_any_text_and_labels(pipelines, rows, multi_label, calibrated):
    nlp = pipelines[multi_label, calibrated]
    docs = []
    for text, labels in rows:
        doc = Doc(nlp.vocab, words=[text], spaces=[False]) if text else Doc(nlp.vocab)
        doc._.labels = labels
        docs.append(doc)
    for doc, (_, labels) in zip(nlp.pipe(docs), rows, strict=True):
        assert set(doc.cats) == set(labels)
        assert all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in doc.cats.values())
        if not multi_label:
            assert sum(doc.cats.values()) == pytest.approx(1.0, abs=1e-9)


# Calibration


@pytest.mark.parametrize("multi_label", [False, True])
def test_content_free_prompts_are_computed_once(make, multi_label):
    nlp = make(calibrated=True, multi_label=multi_label)
    plain = count_pieces(make(multi_label=multi_label), [TEXTS[0]])
    assert count_pieces(nlp, [TEXTS[0]]) > plain
    assert count_pieces(nlp, [TEXTS[0]]) == plain
    doc = nlp.make_doc(TEXTS[0])
    doc._.labels = [*LABELS, "another"]
    kept = len(nlp.get_pipe(NAME)._content_free)
    nlp(doc)
    assert len(nlp.get_pipe(NAME)._content_free) == kept + (2 if multi_label else 1)


def test_what_is_kept_has_an_end(make, monkeypatch):
    monkeypatch.setattr("spacy_bloom.pipeline.prompting.zero_shot_scores.MAX_KEPT", 5)
    nlp = make(calibrated=True)
    for i in range(8):
        doc = nlp.make_doc(TEXTS[0])
        doc._.labels = [f"label {i}", "b"]
        cats = dict(nlp(doc).cats)
        assert len(nlp.get_pipe(NAME)._content_free) <= 5
        expect_cats(nlp(doc).cats, cats)


# Too long prompts


TAIL = "\nQuestion: what is it about?"


def test_the_end_of_a_long_text_is_cut(make, slow):
    text = "Il pleut depuis ce matin ; les enfants jouent. " * 10
    nlp = make(prompt="{{ doc.text }}" + TAIL, max_prompt_pieces=60)
    with pytest.warns(BloomWarning, match="text of 1 of 2 Docs, .* at most 60 pieces"):
        long, short = nlp.pipe([text, "short"])
    ids, _ = fit_prompt(nlp.get_pipe(NAME).tokenizer, text + TAIL, text, 60)
    expect_cats(long.cats, slow_cats_of(slow, nlp.get_pipe(NAME).tokenizer.decode(ids)))
    expect_cats(short.cats, slow_cats_of(slow, "short" + TAIL))


def slow_cats_of(slow, prompt):
    return dict(zip(LABELS, softmax([slow(prompt, " " + label) for label in LABELS]), strict=True))


@pytest.mark.parametrize("config", [{"max_prompt_pieces": None}, {"max_prompt_pieces": 500}])
def test_nothing_is_cut_that_fits(make, slow, config):
    nlp = make(**config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp("Il pleut depuis ce matin. " * 12)
    expect_cats(doc.cats, slow_cats(slow, doc.text))


@pytest.mark.parametrize(
    "prompt, message",
    [
        ("{{ doc.text | upper }} is", "no text of the Doc in it to cut"),
        ("{{ doc.text }}" + " and much more" * 30, "too few of them"),
    ],
)
def test_what_cannot_be_cut_is_an_error_of_its_doc(make, prompt, message):
    nlp = make(prompt=prompt, max_prompt_pieces=40)
    text = "the sum of the river " * 20
    with pytest.raises(InputError, match=message):
        nlp(text)
    if "upper" in prompt:
        seen = errors_of(nlp)
        assert [doc.text for doc in nlp.pipe(["a", text, "b"])] == ["a", "b"]
        assert [found for found, _ in seen] == [[text]]


# Errors


def errors_of(nlp):
    seen = []
    nlp.set_error_handler(
        lambda name, proc, docs, error: seen.append(([doc.text for doc in docs], str(error)))
    )
    return seen


@pytest.mark.parametrize(
    "labels, message",
    [
        ("weather", "list of texts, got 'weather'"),
        ({"weather": 1.0}, "list of texts"),
        (["a", 3], "list of texts"),
        ([], "got none"),
        (["a", ""], "not empty"),
        (["a", " "], "not empty"),
        (["a", "b", "a"], r"\['a'\] more than once"),
    ],
)
def test_a_doc_with_bad_labels_does_not_lose_its_batch(make, labels, message):
    nlp = make()
    docs = [nlp.make_doc(text) for text in ("one", "two", "three")]
    docs[1]._.labels = labels
    with pytest.raises(InputError, match=message):
        nlp(docs[1])
    seen = errors_of(nlp)
    assert [doc.text for doc in nlp.pipe(docs)] == ["one", "three"]
    assert [found for found, _ in seen] == [["two"]] and "doc._.labels" in seen[0][1]
    assert set(docs[0].cats) == set(LABELS) and not docs[1].cats


def test_no_labels_at_all(make):
    nlp = make(labels=None)
    with pytest.raises(InputError, match=r"got no labels: .* doc._.labels"):
        nlp("text")


@pytest.mark.parametrize(
    "config, message",
    [
        ({"labels": []}, "one label or more, got none"),
        ({"labels": ["a"]}, "multi_label = true"),
        ({"labels": ["a", "a"]}, "more than once"),
        ({"labels": ["a", " "]}, "not empty"),
        ({"labels": ["a", "b"], "verbalizers": {"a": ""}}, "verbalizer of 'a'"),
        ({"multi_label": True, "yes": ""}, "Expected yes"),
        ({"multi_label": True, "no": " "}, "Expected no"),
        ({"multi_label": True, "yes": " no"}, "different texts"),
        ({"threshold": 1.5}, "threshold"),
        ({"max_batch_items": 0}, "max_batch_items"),
        ({"max_prompt_pieces": 0}, "max_prompt_pieces"),
        ({"prompt": "{{ doc.text"}, "prompt"),
        ({"prompt": "{{ doc.text }} {{ label }}"}, "label"),
        ({"prompt": "{{ doc.text }}", "multi_label": True}, "label"),
        ({"prompt": "{{ doc.text }} {{ unheard_of }}"}, "unheard_of"),
    ],
)
def test_bad_settings(make, config, message):
    with pytest.raises(ConfigError, match=message):
        make(**config)


@pytest.mark.parametrize(
    "config, message",
    [
        ({"verbalizers": {"wether": " weather"}}, r"verbalizers for \['wether'\]"),
        ({"prompt": "{{ doc.text }} It is about "}, "ends in a space"),
    ],
)
def test_what_is_likely_a_mistake(make, config, message):
    with pytest.warns(BloomWarning, match=message):
        make(**config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(verbalizers={LABELS[0]: " x"}, prompt="{{ doc.text }}\n")


# Scores


def evaluate(nlp, gold):
    examples = []
    for text, cats in gold:
        examples.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
    return nlp.evaluate(examples)


def test_scores_of_exclusive_labels(make):
    nlp = make(labels=["weather", "river"])
    best = {text: max(nlp(text).cats.items(), key=lambda pair: pair[1])[0] for text in TEXTS}
    right = [(text, {label: float(label == best[text]) for label in ("weather", "river")}) for text in TEXTS]
    wrong = [(text, {label: 1.0 - value for label, value in cats.items()}) for text, cats in right]
    assert evaluate(nlp, right)["cats_micro_f"] == 1.0
    assert evaluate(nlp, [*right, ("not annotated", {})])["cats_micro_f"] == 1.0
    assert evaluate(nlp, wrong)["cats_micro_f"] == 0.0
    assert evaluate(nlp, right)["cats_score_desc"] == "macro F"


def test_scores_with_multi_label_follow_the_threshold(make):
    nlp = make(multi_label=True)
    found = {doc.text: dict(doc.cats) for doc in nlp.pipe(TEXTS)}
    threshold = sorted(p for cats in found.values() for p in cats.values())[8]
    gold = [
        (text, {label: float(p >= threshold) for label, p in cats.items()}) for text, cats in found.items()
    ]
    at, above = [
        evaluate(make(multi_label=True, threshold=t), gold) for t in (threshold - 1e-6, threshold + 1e-3)
    ]
    assert at["cats_micro_f"] == 1.0 and above["cats_micro_f"] < 1.0
    assert at["cats_score_desc"] == "macro AUC"


def test_scores_of_labels_on_docs(make):
    nlp = make(labels=None)
    doc = nlp.make_doc(TEXTS[0])
    doc._.labels = ["weather", "river"]
    best = max(nlp(doc.copy()).cats.items(), key=lambda pair: pair[1])[0]
    example = Example.from_dict(doc, {"cats": {label: float(label == best) for label in doc._.labels}})
    assert nlp.evaluate([example])["cats_micro_f"] == 1.0


# Saving, copies, processes


SETTINGS = {
    "prompt": "{{ doc.text }}\nIt is",
    "verbalizers": {"weather": " rain"},
    "calibrated": True,
    "length_normalized": True,
    "max_prompt_pieces": 300,
}


def change_weights(nlp):
    module = nlp.get_pipe(NAME).model.shims[0].module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.data = parameter.data * 1.25


def test_saving(make, tmp_path):
    nlp = make(**SETTINGS)
    before = nlp(TEXTS[0]).cats
    change_weights(nlp)
    expected = nlp(TEXTS[0]).cats
    assert gap(before, expected) > 1e-2
    nlp.to_disk(tmp_path / "nlp")
    expect_cats(spacy.load(tmp_path / "nlp")(TEXTS[0]).cats, expected)
    expect_cats(make(**SETTINGS).from_bytes(nlp.to_bytes())(TEXTS[0]).cats, expected)
    again = pickle.loads(pickle.dumps(nlp.get_pipe(NAME)))
    expect_cats(again(nlp.make_doc(TEXTS[0])).cats, expected)
    assert spacy.load(tmp_path / "nlp").get_pipe(NAME).labels == tuple(LABELS)


def test_settings_of_a_saved_pipeline_can_be_overridden(make, tmp_path):
    make(**SETTINGS).to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={f"components.{NAME}.labels": ["sports", "food"]})
    assert set(nlp(TEXTS[0]).cats) == {"sports", "food"}


def test_the_default_settings_need_only_labels():
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe(NAME, config={"labels": ["sports", "food"]})
    assert isinstance(pipe, BloomZeroShot)
    assert sum(nlp("The soup was cold.").cats.values()) == pytest.approx(1.0)


def test_the_extension_is_there_before_the_first_doc(make):
    make()
    assert Doc.has_extension("labels")


SCRIPT = """
import sys, torch, spacy

if __name__ == "__main__":
    torch.set_num_threads(2)
    nlp = spacy.load(sys.argv[1])
    texts = ["Ana lives in Lima", "", "  ", "Omar visits Cairo " * 40, "今天 Wei 在 Paris"] * 4
    docs = [nlp.make_doc(text) for text in texts]
    for doc in docs[::2]:
        doc._.labels = ["Lima", "Cairo", "Paris"]
    first = list(nlp.pipe([doc.copy() for doc in docs], n_process=2, batch_size=3))
    alone = list(nlp.pipe([doc.copy() for doc in docs], batch_size=3))  # now the parent has threads
    second = list(nlp.pipe([doc.copy() for doc in docs], n_process=2, batch_size=3))
    for found in (first, second):
        assert [doc.text for doc in found] == texts
        for one, two in zip(alone, found):
            assert list(one.cats) == list(two.cats) and len(one.cats) in (3, 4)
            assert all(abs(one.cats[label] - two.cats[label]) < 1e-5 for label in one.cats)
    print("done")
"""


def test_two_processes(make, tmp_path, python_spacy):
    make(calibrated=True).to_disk(tmp_path / "nlp")
    (tmp_path / "work.py").write_text(SCRIPT, encoding="utf8")
    done = python_spacy.run(tmp_path / "work.py", tmp_path / "nlp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"


# The transformer's weights


@pytest.fixture
def make_upstream(make_nlp, checkpoint):
    """A function that makes a pipeline of transformer, tagger, and the component on the transformer's weights."""

    def make_pipeline(**config):
        nlp = make_nlp("tagger")
        nlp.add_pipe(NAME, config={"labels": LABELS, "upstream": "bloom_transformer", **config})
        return nlp

    return make_pipeline


@pytest.mark.parametrize("config", [{}, {"calibrated": True}, {"multi_label": True, "calibrated": True}])
def test_upstream(make, make_upstream, make_examples, tmp_path, config):
    """Untrained the same as the checkpoint; then as training leaves it, with what was kept computed again."""
    nlp = make_upstream(**config)
    expected = make(**config)(TEXTS[0]).cats
    expect_cats(nlp(TEXTS[0]).cats, expected)
    for _ in range(3):
        nlp.update(make_examples(nlp), sgd=Adam(0.01))
    trained = nlp(TEXTS[0]).cats
    assert gap(trained, expected) > 1e-2
    nlp.to_disk(tmp_path / "nlp")
    expect_cats(spacy.load(tmp_path / "nlp")(TEXTS[0]).cats, trained)
    assert not (tmp_path / "nlp" / NAME / "model").exists()
    expect_cats(make(**config)(TEXTS[0]).cats, expected)


def test_a_copied_pipeline(make_upstream):
    nlp = make_upstream(calibrated=True)
    expected = nlp(TEXTS[0]).cats
    expect_cats(copy.deepcopy(nlp)(TEXTS[0]).cats, expected)


def test_it_is_no_listener_and_learns_nothing(make_upstream, make_examples):
    nlp = make_upstream()
    losses = nlp.update(make_examples(nlp), sgd=Adam(0.01))
    assert NAME not in losses and losses["tagger"] > 0
    assert nlp.evaluate(make_examples(nlp))["tag_acc"] >= 0
