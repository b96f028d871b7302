import json
import shutil
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed, load_config
from spacy.vocab import Vocab
from thinc.api import Adam
from transformers import BloomConfig as HfConfig
from transformers import BloomForQuestionAnswering as HfModel

from spacy_bloom import BloomModel
from spacy_bloom.errors import BloomWarning, CheckpointError, ConfigError, InputError, NotTrainedError
from spacy_bloom.pipeline.answering.answers import Answer, get_answers, set_answers
from spacy_bloom.pipeline.question_answerer import question_answerer_score

NAME = "bloom_question_answerer"
CONFIG = Path(__file__).parents[2] / "configs" / "question_answering.cfg"
FILLER = "and then some more words came by "
# Each with right answers to its questions.
GOLD = [
    ("Ana lives in Lima near Rio .", {"who?": ["Ana"], "where?": ["Lima"]}),
    ("Omar visits Cairo", {"who?": ["Omar"], "where?": ["Cairo"], "what cat?": []}),
    ("今天 Wei 在 Paris 。", {"who?": ["Wei"], "where?": ["Paris"]}),
    (FILLER * 4 + "Omar visits Lima", {"who?": ["Omar"], "where?": ["Lima"], "what cat?": []}),
    ("Wei visits Rio " + FILLER * 3, {"who?": ["Wei"], "where?": ["Rio"]}),
    ("", {"who?": []}),
    (" \n ", {"where?": []}),
]
ENCODE = {
    "@architectures": "spacy.MaxoutWindowEncoder.v2",
    "width": 16,
    "window_size": 1,
    "maxout_pieces": 2,
    "depth": 1,
}
QUESTIONS = ["who?", "where?", "what cat?"]


@pytest.fixture(scope="module")
def make(checkpoint):
    """A function that makes a pipeline of the component alone, with small windows."""

    def make_pipeline(model=None, **config):
        fix_random_seed(0)
        nlp = spacy.blank("xx")
        model = {"name": checkpoint, "window": 24, "context": 8, **(model or {})}
        nlp.add_pipe(NAME, config={"model": model, **config})
        return nlp

    return make_pipeline


def make_examples(nlp, gold=GOLD):
    examples = []
    for text, answers in gold:
        doc = nlp.make_doc(text)
        spans = {
            question: [doc.char_span(text.index(a), text.index(a) + len(a)) for a in right]
            for question, right in answers.items()
        }
        set_answers(doc, {q: [Answer(s.start, s.end) for s in right] for q, right in spans.items()})
        examples.append(Example(nlp.make_doc(text), doc))
    return examples


def train(nlp, examples, steps=60, rate=0.005):
    nlp.initialize(lambda: examples)
    optimizer = Adam(rate)
    return [nlp.update(examples, sgd=optimizer)[NAME] for _ in range(steps)]


@pytest.fixture(scope="module")
def trained(make):
    """Read it; what it is changed to must be changed back."""
    nlp = make(questions=QUESTIONS)
    nlp.losses = train(nlp, make_examples(nlp))
    return nlp


def answers_of(doc):
    return [(s.text, s.label_, s._.question, round(s._.answer_score, 3)) for s in doc.spans["answers"]]


TEXTS = [text for text, _ in GOLD] + ["Ana Ana " * 40, "</s> <pad> x", "\t", "é"]


@pytest.fixture
def changed(trained):
    """A function that changes settings for one test."""
    pipe = trained.get_pipe(NAME)
    before = dict(pipe.cfg)
    yield pipe.cfg.update
    pipe.cfg.update(before)


# Learning


def test_learns(trained):
    assert trained.losses[-1] < 0.02 * trained.losses[0]
    scores = trained.evaluate(make_examples(trained)[:5])
    assert scores["qa_f1"] >= 10 / 12 and scores["qa_em"] >= 10 / 12
    doc = trained("Ana lives in Lima near Rio .")
    assert [(s.text, s._.question) for s in doc.spans["answers"]][:2] == [("Ana", "who?"), ("Lima", "where?")]


def test_learns_when_there_is_no_answer(trained, changed):
    changed(no_answer_threshold=0.0)
    assert trained.evaluate(make_examples(trained))["qa_em"] == 1.0
    doc = trained("Omar visits Cairo")
    assert [s._.question for s in doc.spans["answers"]] == ["who?", "where?"]


@pytest.mark.parametrize(
    "how",
    [
        "frozen",
        "layers between",
        "overlap",
        "both sides",
        "mixed",
        "large budget",
        "one sequence at a time",
    ],
)
def test_ways_to_learn(make, how):
    options = {
        "frozen": {"model": {"train_transformer": False}},
        "layers between": {"model": {"encode": ENCODE}},
        "overlap": {"model": {"encode": ENCODE, "question_overlap": True}},
        "both sides": {"model": {"attention": "bidirectional"}},
        "mixed": {"model": {"mix_layers": True}},
        "large budget": {"max_batch_items": 10_000},
        "one sequence at a time": {"max_batch_items": 1},
    }
    nlp = make(**options[how])
    losses = train(nlp, make_examples(nlp), 20, 0.01)
    assert losses[-1] < 0.5 * losses[0]


def test_the_budget_does_not_change_what_is_learnt(make, difference):
    gradients = []
    for budget in (1, 60, 10_000):
        nlp = make(max_batch_items=budget)
        examples = make_examples(nlp)
        nlp.initialize(lambda examples=examples: examples)
        nlp.get_pipe(NAME).update(examples)  # without an optimizer, gradients stay where they are
        parameters = nlp.get_pipe(NAME)._shim.module.parameters()
        gradients.append(torch.cat([p.grad.ravel() for p in parameters]))
    assert difference(gradients[0], gradients[2]) < 1e-5 and gradients[0].abs().max() > 0.1
    assert difference(gradients[1], gradients[2]) < 1e-5


def test_a_frozen_bloom_stays_what_it_is(make, checkpoint):
    nlp = make(model={"train_transformer": False})
    train(nlp, make_examples(nlp), 2)
    before = BloomModel.from_pretrained(checkpoint).state_dict()
    after = nlp.get_pipe(NAME)._shim.module.state_dict()
    assert [name for name in before if not before[name].equal(after[name])] == []


def test_the_last_layer_alone(make, checkpoint):
    nlp = make(
        model={
            "trainable_layers": 1,
            "layer_factor": 0.5,
            "bidirectional_layers": 1,
            "attention": "bidirectional",
        }
    )
    train(nlp, make_examples(nlp), 2)
    shim, before = nlp.get_pipe(NAME)._shim, BloomModel.from_pretrained(checkpoint).state_dict()
    assert shim.encoder.bidirectional_layers == 1 and shim.learning.layer_factor == 0.5
    changed = {name for name, value in shim.module.state_dict().items() if not value.equal(before[name])}
    assert changed and all(name.startswith(("h.1.", "ln_f.")) for name in changed)


def test_mixed_layers_learn(make):
    nlp = make(model={"mix_layers": True, "train_transformer": False})
    train(nlp, make_examples(nlp), 2)
    assert nlp.get_pipe(NAME)._shim.encoder.layer_mix.weights.abs().max() > 0


def test_adapters(make, checkpoint, tmp_path):
    nlp = make(questions=QUESTIONS, model={"lora": {"r": 4}})
    losses = train(nlp, make_examples(nlp), 20, 0.01)
    assert losses[-1] < 0.5 * losses[0]
    nlp.to_disk(tmp_path / "nlp")
    saved = tmp_path / "nlp" / NAME / "model"
    before = BloomModel.from_pretrained(checkpoint).state_dict()
    with pytest.warns(BloomWarning, match="not read"):
        after = BloomModel.from_pretrained(saved).state_dict()
    assert (saved / "adapter").is_dir() and all(before[name].equal(after[name]) for name in before)
    assert written(spacy.load(tmp_path / "nlp")) == written(nlp)


def test_what_cannot_teach_anything(trained):
    before = trained.to_bytes()
    bare = Example(trained.make_doc("Ana"), trained.make_doc("Ana"))
    empty = make_examples(trained, [("", {"who?": []}), ("Ana", {" ": ["Ana"]})])
    assert trained.update([bare, *empty], sgd=Adam(0.1)) == {NAME: 0.0}
    assert trained.to_bytes() == before


def test_no_gold_questions(make):
    nlp = make()
    with pytest.raises(ConfigError, match="got no questions.*set_answers"):
        nlp.initialize(lambda: [Example(nlp.make_doc("a"), nlp.make_doc("a"))])


def test_untrained_use(make, tmp_path):
    nlp = make(questions=["who?"])
    with pytest.raises(NotTrainedError, match="spacy train"):
        nlp("Ana")
    with pytest.raises(NotTrainedError):
        nlp.update(make_examples(nlp))
    nlp.to_disk(tmp_path / "nlp")
    with pytest.raises(NotTrainedError):
        spacy.load(tmp_path / "nlp")("Ana")


@pytest.mark.parametrize("option", ["n_best", "max_answer_tokens", "max_batch_items"])
def test_sizes_below_one(make, option):
    with pytest.raises(ConfigError, match=f"{option} to be an integer of 1 or more, got 0"):
        make(**{option: 0})


def test_another_architecture(listener):
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-bloom.TokenClassifier.v1", "tok2vec": listener()}
    with pytest.raises(ConfigError, match=r"Expected a model of spacy-bloom\.QuestionAnswerer\.v2"):
        nlp.add_pipe(NAME, config={"model": model})


# Questions


def test_a_docs_own_questions_win(trained):
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = ["where?", "who?", "where?"]
    group = trained(doc).spans["answers"]
    assert [(s.text, s._.question) for s in group] == [("Cairo", "where?"), ("Omar", "who?")]
    assert group.attrs["questions"] == ["where?", "who?"]


@pytest.mark.parametrize("questions", ["who?", [1], {"who?": 1}, [None]])
def test_questions_that_are_none(trained, make, questions):
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = questions
    with pytest.raises(InputError, match="doc._.questions to be a list of str, got"):
        trained(doc)


def test_without_questions_nothing_is_computed(make, trained):
    """Nothing is even loaded, and it need not be trained."""
    nlp = make()
    docs = list(nlp.pipe(["Ana", "", "Omar visits Cairo"]))
    assert [list(doc.spans["answers"]) for doc in docs] == [[], [], []]
    assert not nlp.get_pipe(NAME)._shim.loaded
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = []  # its own, though there are none
    assert trained(doc).spans["answers"].attrs["questions"] == []


@pytest.mark.parametrize("text", ["", " ", "\n\n", " \t "])
def test_docs_without_words(make, text):
    nlp = make(questions=QUESTIONS)
    doc = nlp(text)
    assert doc.text == text and len(doc.spans["answers"]) == 0
    assert get_answers(doc) == {question: [] for question in QUESTIONS}
    assert not nlp.get_pipe(NAME)._shim.loaded


def test_questions_without_words(trained):
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = ["", " \n", "who?"]
    assert {q: [s.text for s in spans] for q, spans in get_answers(trained(doc)).items()} == {
        "": [],
        " \n": [],
        "who?": ["Omar"],
    }


# What is written


def test_scores_and_order(trained, changed):
    changed(n_best=4)
    doc = trained("Ana lives in Lima near Rio .")
    group = doc.spans["answers"]
    assert [span.label_ for span in group] == ["Q1"] * 4 + ["Q2"] * 4 + ["Q3"] * 4
    scores = group.attrs["scores"]
    assert scores.dtype == "float32" and [s._.answer_score for s in group] == scores.tolist()
    for i in (0, 4, 8):
        assert (numpy.diff(scores[i : i + 4]) <= 0).all()
        assert len({(span.start, span.end) for span in list(group)[i : i + 4]}) == 4


def test_two_questions_with_the_same_answer(trained):
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = ["where?", "where ?"]
    first, second = trained(doc).spans["answers"]
    assert first.text == second.text == "Cairo"
    assert (first._.question, second._.question) == ("where?", "where ?")
    assert first._.answer_score != second._.answer_score


def test_spans_that_are_no_answers(trained):
    doc = trained("Omar visits Cairo")
    assert doc[0:2]._.question is None and doc[0:2]._.answer_score is None
    doc.spans["other"] = [Span(doc, 0, 1, label="Q1")]
    assert Doc(trained.vocab, words=["a"])[:]._.question is None


def test_thresholds(trained, changed):
    doc = trained("Omar visits Cairo")
    best = doc.spans["answers"].attrs["scores"].tolist()
    assert len(best) == 3
    for threshold in (best[0], best[0] + 1e-3):
        changed(no_answer_threshold=threshold, n_best=2)
        doc = trained("Omar visits Cairo")
        n_answers = len(get_answers(doc)["who?"])
        assert n_answers == (2 if threshold == best[0] else 0)


def test_longest_answers(trained, changed):
    changed(n_best=1000, max_answer_tokens=2)
    doc = trained("a b c d e")  # one window
    found = {(s.start, s.end) for s in get_answers(doc)["who?"]}
    assert found == {(i, i + n) for i in range(5) for n in (1, 2) if i + n <= 5}
    changed(max_answer_tokens=10**9)
    assert len(get_answers(trained(doc))["who?"]) == 5 * 6 / 2


def test_another_key(make):
    nlp = make(spans_key="found")
    examples = make_examples(nlp)
    for eg in examples:
        eg.reference.spans["found"] = eg.reference.spans.pop("answers")
    train(nlp, examples, 40)
    assert nlp.evaluate(examples)["qa_em"] > 0.6
    doc = nlp.make_doc("Omar visits Cairo")
    doc._.questions = ["who?"]
    assert [s._.question for s in nlp(doc).spans["found"]] == ["who?"] and "answers" not in doc.spans


@pytest.mark.parametrize("user_data", [True, False])
def test_answers_survive_doc_bins(trained, user_data):
    """In another vocabulary, and without user data too."""
    docs = list(trained.pipe(TEXTS))
    data = DocBin(docs=docs, store_user_data=user_data).to_bytes()
    fresh = list(DocBin(store_user_data=user_data).from_bytes(data).get_docs(Vocab()))
    assert [answers_of(doc) for doc in fresh] == [answers_of(doc) for doc in docs]
    assert [doc.spans["answers"].attrs["questions"] for doc in fresh] == [QUESTIONS] * len(docs)


def test_answers_survive_bytes_and_copies(trained):
    doc = trained.make_doc("Omar visits Cairo")
    doc._.questions = ["who?", "why?"]
    doc = trained(doc)
    fresh = Doc(Vocab()).from_bytes(doc.to_bytes())
    copy = doc.copy()
    assert fresh._.questions == ["who?", "why?"]
    expected = [(s._.question, s._.answer_score) for s in doc.spans["answers"]]
    for other in (fresh, copy):
        assert [(s._.question, s._.answer_score) for s in other.spans["answers"]] == expected


# The same answers everywhere


def test_answers_do_not_depend_on_neighbours(trained, changed):
    changed(n_best=3)
    alone = [trained(text) for text in TEXTS]
    for budget, batch_size in ((1, 2), (50, 100), (5000, 100)):
        changed(max_batch_items=budget)
        for one, two in zip(alone, trained.pipe(TEXTS, batch_size=batch_size), strict=True):
            a, b = one.spans["answers"], two.spans["answers"]
            assert [(s.start, s.end, s._.question) for s in a] == [(s.start, s.end, s._.question) for s in b]
            numpy.testing.assert_allclose(a.attrs["scores"], b.attrs["scores"], atol=2e-4)


def test_answers_by_overlap_do_not_depend_on_neighbours(make):
    nlp = make(questions=QUESTIONS, n_best=3, model={"encode": ENCODE, "question_overlap": True})
    train(nlp, make_examples(nlp), 5)
    alone = [answers_of(nlp(text)) for text in TEXTS]
    for budget, batch_size in ((1, 2), (5000, 100)):
        nlp.get_pipe(NAME).cfg["max_batch_items"] = budget
        for one, doc in zip(alone, nlp.pipe(TEXTS, batch_size=batch_size), strict=True):
            assert [answer[:3] for answer in answers_of(doc)] == [answer[:3] for answer in one]


def test_an_answer_in_a_late_window(trained):
    text = FILLER * 12 + "Omar visits Lima"
    doc = trained(text)
    windows, _ = trained.get_pipe(NAME)._read([(doc, "who?")])
    assert len(windows) > 5
    found = [(s.text, s.start) for s in doc.spans["answers"]][:2]
    assert found == [("Omar", len(doc) - 3), ("Lima", len(doc) - 1)]


def test_both_sides_in_several_windows(make):
    nlp = make(questions=["who?"], model={"attention": "bidirectional"})
    train(nlp, make_examples(nlp), 1)
    doc = nlp("rain " * 60 + "Ana lives in Lima")
    assert all(span.text == doc.text[span.start_char : span.end_char] for span in doc.spans["answers"])


def test_a_question_longer_than_a_window(trained):
    doc = trained.make_doc(FILLER * 5)
    doc._.questions = ["who? " * 50]
    windows, _ = trained.get_pipe(NAME)._read([(doc, doc._.questions[0])])
    assert min(w.prefix for w in windows) > 24  # the window
    assert len(trained(doc).spans["answers"]) == 1


pieces_of_text = st.lists(
    st.sampled_from(
        ["a", "Omar", " ", "  ", "\n", "</s>", "<pad>", "今天", "é", "e\u0301", "👩‍👧", "क्षि", "\u200b"]
    )
    | st.text(max_size=6),
    max_size=25,
).map("".join)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=pieces_of_text, questions=st.lists(pieces_of_text, max_size=3))
@example(text="\ud7ff\U0010ffff", questions=["\x00"])
def test_any_text(trained, text, questions):
    doc = trained.make_doc(text)
    doc._.questions = questions
    doc = trained(doc)
    assert doc.text == text
    group = doc.spans["answers"]
    assert len(group) == len({q for q in questions if q.strip()}) * any(not t.is_space for t in doc)
    for span in group:
        assert 0 <= span.start < span.end <= len(doc)
        assert span.text == text[span.start_char : span.end_char] and span.text.strip()
        assert span._.question in questions and numpy.isfinite(span._.answer_score)


def test_control_tokens_do_nothing(trained):
    """They are the pieces of their characters, as ordinary text: an answer around them is as good as any."""
    pipe = trained.get_pipe(NAME)
    doc = trained.make_doc("Omar </s> <s> visits <pad> Cairo <unk>")
    windows, _ = pipe._read([(doc, "who </s> ?")])
    special = set(pipe._shim.tokenizer.all_special_ids)
    assert not special & {int(i) for w in windows for i in w.ids}
    doc = trained(doc)
    assert next(iter(doc.spans["answers"])).text.startswith("Omar")


# Streams


def test_one_bad_doc_never_loses_its_batch(trained):
    docs = [trained.make_doc(text) for text in ("Ana", "bad", "Omar visits Cairo", "", "worse", "Wei")]
    for doc in docs:
        doc._.questions = 7 if doc.text in ("bad", "worse") else QUESTIONS
    seen = []
    trained.set_error_handler(lambda name, proc, docs, error: seen.append((name, [d.text for d in docs])))
    try:
        for batch_size in (1, 3, 10):
            found = list(trained.pipe([doc.copy() for doc in docs], batch_size=batch_size))
            assert [doc.text for doc in found] == ["Ana", "Omar visits Cairo", "", "Wei"]
            assert [s.text for s in found[1].spans["answers"]][:2] == ["Omar", "Cairo"]
    finally:
        trained.set_error_handler(spacy.util.raise_error)
    assert seen == [(NAME, ["bad"]), (NAME, ["worse"])] * 3


PROCESSES = """
import sys, spacy, torch

if __name__ == "__main__":
    nlp = spacy.load(sys.argv[1])
    torch.set_num_threads(2)
    texts = ["Omar visits Cairo", "", "  ", "Ana lives in Lima " * 20, "Wei in Paris"] * 3

    def docs():
        for i, text in enumerate(texts):
            doc = nlp.make_doc(text)
            doc._.questions = ["where?"] if i % 2 else None
            yield doc

    def found(docs):
        return [[(s.start, s.end, s._.question, round(s._.answer_score, 2)) for s in d.spans["answers"]] for d in docs]

    first = found(nlp.pipe(docs(), n_process=2, batch_size=3))
    alone = found(nlp.pipe(docs(), batch_size=3))  # now the parent has threads that its forks lack
    assert alone == first == found(nlp.pipe(docs(), n_process=2, batch_size=3))
    assert [len(doc) for doc in alone[:5]] == [3, 0, 0, 1, 3]
    print("done")
"""


def test_two_processes(trained, tmp_path, python_spacy):
    trained.to_disk(tmp_path / "nlp")
    (tmp_path / "work.py").write_text(PROCESSES, encoding="utf8")
    done = python_spacy.run(tmp_path / "work.py", tmp_path / "nlp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"
    assert "fork" not in done.stderr and "parallelism" not in done.stderr


# Files


def written(nlp):
    return [answers_of(doc) for doc in nlp.pipe(TEXTS)]


@pytest.mark.parametrize("on_top", [{}, {"encode": ENCODE}, {"encode": ENCODE, "question_overlap": True}])
def test_saving(make, checkpoint, tmp_path, on_top):
    """The checkpoint is not needed any more; no file but those of the weights is large, and none a pickle."""
    named = tmp_path / "named"
    shutil.copytree(checkpoint, named)
    model = {"name": str(named), **on_top}
    nlp = make(questions=QUESTIONS, model=model)
    train(nlp, make_examples(nlp), 5)
    nlp.to_disk(tmp_path / "nlp")
    data = nlp.to_bytes()
    fresh = make(questions=QUESTIONS, model=model)
    shutil.rmtree(named)
    loaded = spacy.load(tmp_path / "nlp")
    assert written(loaded) == written(nlp) == written(fresh.from_bytes(data))
    loaded.to_disk(tmp_path / "nlp")  # over the files that its weights are mapped from
    assert written(spacy.load(tmp_path / "nlp")) == written(nlp)
    files = {
        p.relative_to(tmp_path / "nlp" / NAME) for p in (tmp_path / "nlp" / NAME).rglob("*") if p.is_file()
    }
    assert {Path("head"), Path("model/config.json"), Path("model/model.safetensors")} <= files
    assert Path("cfg") not in files  # settings are the pipeline's config's
    assert BloomModel.from_pretrained(tmp_path / "nlp" / NAME / "model").config.hidden_size == 32


@pytest.mark.parametrize("trained_with", [True, False])
def test_another_question_overlap_than_in_training(make, tmp_path, trained_with):
    nlp = make(model={"encode": ENCODE, "question_overlap": trained_with})
    train(nlp, make_examples(nlp), 1)
    nlp.to_disk(tmp_path / "nlp")
    other = {"components": {NAME: {"model": {"question_overlap": not trained_with}}}}
    which = (str(value).lower() for value in (not trained_with, trained_with))
    with pytest.raises(ConfigError, match="question_overlap = {}.*that was trained with {}".format(*which)):
        spacy.load(tmp_path / "nlp", config=other)
    fresh = make(model={"encode": ENCODE, "question_overlap": not trained_with})
    with pytest.raises(CheckpointError, match="mismatched structure"):
        fresh.from_bytes(nlp.to_bytes())


def test_untrained_pipelines_take_any_question_overlap(make, tmp_path):
    make(model={"encode": ENCODE}).to_disk(tmp_path / "nlp")
    config = {"components": {NAME: {"model": {"question_overlap": True}}}}
    nlp = spacy.load(tmp_path / "nlp", config=config)
    losses = train(nlp, make_examples(nlp), 20, 0.01)
    assert losses[-1] < 0.5 * losses[0]


def test_pipelines_of_the_first_architecture(make, tmp_path):
    model = {"@architectures": "spacy-bloom.QuestionAnswerer.v1", "encode": ENCODE}
    nlp = make(questions=QUESTIONS, model=model)
    train(nlp, make_examples(nlp), 2)
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert loaded.config["components"][NAME]["model"]["@architectures"] == "spacy-bloom.QuestionAnswerer.v1"
    assert (
        written(loaded)
        == written(nlp)
        == written(make(questions=QUESTIONS, model=model).from_bytes(nlp.to_bytes()))
    )


def test_learning_goes_on_after_loading(trained, tmp_path):
    trained.to_disk(tmp_path / "nlp")
    nlp = spacy.load(tmp_path / "nlp")
    examples = make_examples(nlp)
    before = written(nlp)
    nlp.resume_training()
    nlp.update(examples, sgd=Adam(0.01))
    assert written(nlp) != before


def test_half_precision_on_disk(make, tmp_path):
    nlp = make(questions=QUESTIONS, model={"storage_dtype": "float16"})
    train(nlp, make_examples(nlp), 3)
    nlp.to_disk(tmp_path / "nlp")
    module = spacy.load(tmp_path / "nlp").get_pipe(NAME)._shim.module
    assert module.dtype == torch.float32
    file = tmp_path / "nlp" / NAME / "model" / "model.safetensors"
    assert file.stat().st_size < 2.5 * module.num_parameters()


# Checkpoints with a head


@pytest.fixture(scope="module")
def hf_checkpoint(checkpoint, tmp_path_factory):
    """Written by transformers, with the tokenizer of the other checkpoint."""
    path = tmp_path_factory.mktemp("hf") / "qa"
    shutil.copytree(checkpoint, path)
    vocab_size = json.loads((path / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    config = HfConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    model = HfModel(config).eval()
    model.save_pretrained(path)
    return path, model


def hf_nlp(path):
    nlp = spacy.blank("xx")
    config = {"checkpoint": str(path), "questions": QUESTIONS, "separator": "", "n_best": 3}
    nlp.add_pipe(NAME, config=config)  # whatever the model's name
    return nlp


def test_a_hugging_face_head(hf_checkpoint):
    """The spans that transformers' logits make the best, on a pair as Hugging Face's tokenizer joins it."""
    path, model = hf_checkpoint
    nlp = hf_nlp(path)
    tokenizer = nlp.get_pipe(NAME)._shim.tokenizer
    for text in ("Ana lives in Lima near Rio .", "今天 Wei 在 Paris 。"):
        doc = nlp(text)
        for question, spans in get_answers(doc).items():
            prefix = len(tokenizer.encode(question))
            encoded = tokenizer(text, return_offsets_mapping=True)
            ids = [*tokenizer.encode(question), *encoded["input_ids"]]
            with torch.no_grad():
                output = model(torch.tensor([ids]))
            start, end = output.start_logits[0], output.end_logits[0]
            none = float(start[prefix - 1] + end[prefix - 1])
            starts = [prefix + i for i, _ in first_and_last(doc, encoded["offset_mapping"])]
            ends = [prefix + j for _, j in first_and_last(doc, encoded["offset_mapping"])]
            every = {
                (i, j + 1): float(start[starts[i]] + end[ends[j]]) - none
                for i in range(len(doc))
                for j in range(i, len(doc))
            }
            best = sorted(every, key=every.get, reverse=True)[:3]
            assert [(s.start, s.end) for s in spans] == best
            found = [s._.answer_score for s in spans]
            numpy.testing.assert_allclose(found, [every[span] for span in best], rtol=1e-5, atol=1e-4)


def first_and_last(doc, offsets):
    """The first and the last piece that overlap each token."""
    for token in doc:
        own = [i for i, (a, b) in enumerate(offsets) if a < token.idx + len(token) and b > token.idx]
        yield own[0], own[-1]


@pytest.mark.parametrize("used", [True, False])
def test_a_hugging_face_head_is_saved_before_its_first_use(hf_checkpoint, tmp_path, used):
    path = tmp_path / "qa"
    shutil.copytree(hf_checkpoint[0], path)
    nlp = hf_nlp(path)
    expected = written(hf_nlp(path))
    if used:
        nlp("Ana")
    nlp.to_disk(tmp_path / "nlp")
    data = nlp.to_bytes()
    fresh = hf_nlp(path)
    path.rename(tmp_path / "gone")
    assert written(spacy.load(tmp_path / "nlp")) == written(fresh.from_bytes(data)) == expected


def test_a_hugging_face_head_learns_on(hf_checkpoint):
    nlp = hf_nlp(hf_checkpoint[0])
    before = written(hf_nlp(hf_checkpoint[0]))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    assert written(nlp) == before
    losses = [nlp.update(examples, sgd=Adam(0.005))[NAME] for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_checkpoint_without_a_head(checkpoint):
    with pytest.raises(CheckpointError, match=r"qa_outputs\.weight"):
        hf_nlp(checkpoint)("Ana")


# Scores


def test_scoring(trained):
    examples = make_examples(trained, GOLD[:2])
    unasked = question_answerer_score(examples)
    assert unasked == {"qa_em": 0.2, "qa_f1": 0.2, "qa_char_f1": 0.2}  # one question has no answer
    bare = [Example(trained.make_doc("Ana"), trained.make_doc("Ana"))]
    assert set(question_answerer_score(bare).values()) == {None}


def test_gold_questions_are_asked_for_scoring(trained, make, tmp_path):
    """Also where the Docs to predict have none, as those of spaCy's readers, and others in the config."""
    trained.to_disk(tmp_path / "nlp")
    nlp = spacy.load(tmp_path / "nlp", config={"components": {NAME: {"questions": ["why?"]}}})
    examples = make_examples(nlp)[:5]
    assert nlp.evaluate(examples)["qa_em"] >= 10 / 12
    assert all("answers" not in eg.predicted.spans for eg in examples)


# The commands


def test_the_shipped_config(trained, checkpoint, tmp_path, python_spacy):
    """`spacy train` and `spacy evaluate`, in processes of their own."""
    nlp = spacy.util.load_model_from_config(
        {"nlp": load_config(CONFIG)["nlp"] | {"pipeline": []}}, auto_fill=True
    )
    docs = [eg.reference for eg in make_examples(nlp, GOLD * 3)] + [nlp.make_doc("no questions")]
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    options = {
        "output": tmp_path / "training",
        "paths.train": tmp_path / "corpus.spacy",
        "paths.dev": tmp_path / "corpus.spacy",
        "paths.checkpoint": checkpoint,
        "training.max_steps": 30,
        "training.optimizer.learn_rate.total_steps": 30,
        "training.eval_frequency": 15,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "training.optimizer.learn_rate.initial_rate": 0.005,
        f"components.{NAME}.model.window": 64,
        f"components.{NAME}.model.context": 16,
    }
    settings = [part for name, value in options.items() for part in (f"--{name}", value)]
    best, scores = tmp_path / "training" / "model-best", tmp_path / "scores.json"
    for command in (
        ["train", CONFIG, *settings],
        ["evaluate", best, tmp_path / "corpus.spacy", "-o", scores],
    ):
        done = python_spacy.run("-m", "spacy", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(scores.read_text())["qa_char_f1"] > 0.5
