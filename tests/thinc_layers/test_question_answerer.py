import shutil
from dataclasses import replace

import numpy
import pytest
import spacy
import torch
from spacy.ml.models import MaxoutWindowEncoder
from thinc.api import Adam
from transformers import BloomConfig as HfConfig
from transformers import BloomForQuestionAnswering as HfModel

from spacy_bloom import BloomTokenizerFast
from spacy_bloom.errors import CheckpointError, ConfigError
from spacy_bloom.thinc_layers.pieces.question_overlap import REACHES, SIZES, QuestionOverlap
from spacy_bloom.thinc_layers.pieces.question_windows import QuestionWindow, read_questions
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings
from spacy_bloom.thinc_layers.question_answerer import (
    EMPTY_WINDOW,
    create_question_answerer_v2,
    load_head,
    score_windows,
)
from spacy_bloom.thinc_layers.transformer_model import bloom_shim

TEXT = "Ana lives in Lima near Rio . 今天 Wei 在 Paris 。"


ENCODE = {"width": 16, "window_size": 1, "maxout_pieces": 2, "depth": 1}


def window(ids, prefix=1, own=None):
    """A window of a whole Doc, whose pieces have something of the question in them."""
    n_pieces = len(ids) - prefix
    if own is None:
        own = numpy.linspace(0, 1, n_pieces * len(SIZES), dtype="float32").reshape(n_pieces, -1)
    overlap = QuestionOverlap(own, numpy.full((2 * len(REACHES), len(SIZES)), 0.5, dtype="float32"))
    return QuestionWindow(0, numpy.array(ids), prefix, 0, n_pieces, overlap)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def hf_checkpoint(checkpoint, tmp_path_factory):
    """A question-answering checkpoint written by transformers, and the model."""
    path = tmp_path_factory.mktemp("hf") / "qa"
    shutil.copytree(checkpoint, path)
    torch.manual_seed(0)
    vocab_size = HfConfig.from_pretrained(checkpoint).vocab_size
    model = HfModel(
        HfConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    ).eval()
    with torch.no_grad():
        model.qa_outputs.bias.normal_()
    model.save_pretrained(path)
    return str(path), model


def test_logits_equal_hugging_faces(hf_checkpoint, tokenizer, difference):
    """Question and context are one sequence there as here: Hugging Face's tokenizer joins a pair without more."""
    path, theirs = hf_checkpoint
    model = create_question_answerer_v2(path, window=20, context=5)
    load_head(model)
    doc = spacy.blank("xx")(TEXT * 3)
    asked = [(doc, "Who lives in Lima?"), (doc, "在哪里？")]
    windows, _ = read_questions(tokenizer, asked, separator="", settings=WindowSettings(20, 5))
    scores = score_windows(model, windows, 50)
    assert len(scores) == len(windows) > 4
    for window, logits in scores.items():
        with torch.no_grad():
            output = theirs(torch.from_numpy(window.ids)[None])
        expected = torch.stack([output.start_logits[0], output.end_logits[0]], dim=1)
        assert difference(torch.from_numpy(logits), expected) < 1e-5


def test_a_checkpoint_without_the_head(checkpoint):
    with pytest.raises(CheckpointError, match=r"qa_outputs\.weight.*got"):
        load_head(create_question_answerer_v2(checkpoint))


def test_a_checkpoint_leaves_no_room_for_layers_between(hf_checkpoint):
    encode = MaxoutWindowEncoder(**ENCODE)
    with pytest.raises(ConfigError, match="encode = null"):
        load_head(create_question_answerer_v2(hf_checkpoint[0], encode=encode))


def test_a_checkpoints_head_reads_the_last_layer(hf_checkpoint):
    path = str(hf_checkpoint[0])
    with pytest.raises(ConfigError, match="mix_layers = false"):
        load_head(create_question_answerer_v2(path, mix_layers=True))


@pytest.mark.parametrize("window, context", [(0, 0), (8, 8), (8, -1)])
def test_windows_without_room(window, context):
    with pytest.raises(ConfigError, match="context < window"):
        create_question_answerer_v2(window=window, context=context)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_what_follows_a_piece(checkpoint, attention):
    model = create_question_answerer_v2(checkpoint, attention=attention)
    model.initialize(X=[EMPTY_WINDOW])
    (first,), (other,) = (model.predict([window(ids)]) for ids in ([5, 6, 7], [5, 6, 8]))
    assert numpy.allclose(first[:2], other[:2], atol=1e-6) == (attention == "causal")


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("on_top", [None, "layers", "layers and overlap"])
def test_what_learns(checkpoint, learns, on_top):
    encode = None if on_top is None else MaxoutWindowEncoder(**ENCODE)
    overlap = on_top == "layers and overlap"
    model = create_question_answerer_v2(
        checkpoint, train_transformer=learns, encode=encode, question_overlap=overlap
    )
    windows = [window(ids, 2) for ids in (range(5, 12), range(3))]
    model.initialize(X=[EMPTY_WINDOW])
    module = bloom_shim(model.get_ref("transformer")).module
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    head = model.get_ref("head").get_ref("output_layer").get_param("W").copy()
    logits, backprop = model.begin_update(windows)
    assert [part.shape for part in logits] == [(7, 2), (3, 2)]
    backprop([numpy.ones_like(part) for part in logits])
    model.finish_update(Adam(0.01))
    changed = [name for name, value in module.named_parameters() if not value.equal(before[name])]
    assert bool(changed) == learns
    assert not numpy.allclose(head, model.get_ref("head").get_ref("output_layer").get_param("W"))


def test_overlap_with_the_question_is_read(checkpoint):
    model = create_question_answerer_v2(
        checkpoint, encode=MaxoutWindowEncoder(**ENCODE), question_overlap=True
    )
    model.initialize(X=[EMPTY_WINDOW])
    own = numpy.zeros((20, len(SIZES)), dtype="float32")
    plain, other = (
        model.predict([window(range(5, 27), 2, own)])[0]
        for own in (own, own + (numpy.arange(20) > 9)[:, None])
    )
    # The question has no features; the window of encode lets its last piece see what follows it.
    assert not (other != plain).any(axis=1)[:1].any() and (other != plain).any(axis=1)[2:].all()
    assert (model.predict([replace(window(range(5, 27), 2), overlap=None)])[0] == plain).all()


def test_the_gradient_is_that_of_bloom_without_the_features(checkpoint):
    model = create_question_answerer_v2(
        checkpoint, encode=MaxoutWindowEncoder(**ENCODE), question_overlap=True
    )
    model.initialize(X=[EMPTY_WINDOW])
    windows = [window(range(5, 12), 2), window(range(3, 8))]
    module = bloom_shim(model.get_ref("transformer")).module
    weight = module.ln_f.bias

    def total():
        return sum(float((part.astype("float64") ** 2).sum()) for part in model.predict(windows))

    logits, backprop = model.begin_update(windows)
    backprop([2 * part for part in logits])
    for place in (0, 7):
        with torch.no_grad():
            weight[place] += 1e-2
            above = total()
            weight[place] -= 2e-2
            below = total()
            weight[place] += 1e-2
        assert float(weight.grad[place]) == pytest.approx((above - below) / 2e-2, rel=0.03, abs=1e-3)


def test_overlap_needs_layers_to_read_it(checkpoint):
    with pytest.raises(ConfigError, match="question_overlap without encode"):
        create_question_answerer_v2(checkpoint, question_overlap=True)
