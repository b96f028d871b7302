import copy
import gc
import math
import pickle
import shutil

import numpy
import pytest
import spacy
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span, Token
from spacy.vocab import Vocab

from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.pipeline import surprisal as module
from spacy_bloom.pipeline.base.token_bits import Spelling, byte_places
from spacy_bloom.pipeline.surprisal import BloomSurprisal
from spacy_bloom.pretraining.data import DataConfig, TextFile, encode_file
from spacy_bloom.pretraining.evaluation import evaluate
from spacy_bloom.thinc_layers.pieces.windows import cut_docs
from spacy_bloom.thinc_layers.weights.sharing import own_weights

NAME = "bloom_surprisal"
TEXTS = [
    "The river was high in spring, and nobody crossed it before May.",
    "",
    "今天天气很好，我们去公园散步吧。",
    "  \n ",
    "القطار يصل إلى المحطة </s> في الساعة",
    "a",
    "def add(a, b):\n    return a + b  # the sum",
    "👩🏽‍🚀 𝔘 é " * 30,
]
HARD = "The river ñ 今天，القطار۔ किताब한국어👩🏽\u200d🚀e\u0301\u200b\t\n\u3000\u00a0\x00 .,!?…</s><pad>Ġ𝔘"
characters = st.one_of(st.sampled_from(HARD), st.characters(exclude_categories=("Cs",)))
words = st.one_of(
    st.text(characters, min_size=1, max_size=6), st.sampled_from([" ", "  ", "\n", "river", "今天"])
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Many tiny products: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def make(checkpoint):
    """A function that makes a pipeline of the component alone."""

    def make_pipeline(**config):
        nlp = spacy.blank("xx")
        nlp.add_pipe(NAME, config={"model": {"name": checkpoint}, **config})
        return nlp

    return make_pipeline


@pytest.fixture(scope="module")
def plain(make):
    return make()


@pytest.fixture(scope="module")
def reference(checkpoint):
    """Hugging Face's model on the same checkpoint."""
    return transformers.BloomForCausalLM.from_pretrained(checkpoint).eval()


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return BloomTokenizerFast.from_directory(checkpoint)


def log_odds(reference, ids):
    """log2 of the probability of every piece at every place of one row: the plain, slow way."""
    with torch.no_grad():
        logits = reference(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits, dim=-1).numpy() / math.log(2)


def piece_bits(reference, tokenizer, text):
    """Bits of each piece after `</s>`."""
    ids = [2, *tokenizer(text, split_special_tokens=True)["input_ids"]]
    if len(ids) == 1:
        return []
    found = log_odds(reference, ids)
    return [-found[i, piece] for i, piece in enumerate(ids[1:])]


def share_slowly(doc, tokenizer, bits):
    """Bits of each token, byte by byte: a byte that is no leading space of a piece has its part of the piece's bits,
    and belongs to the token that holds it, or else to the next one, or to the last.
    """
    owners = []
    for token in doc:
        owners += [token.i] * len(token.text.encode("utf8"))
        owners += [min(token.i + 1, len(doc) - 1)] * len(token.whitespace_)
    spelled = {piece_id: piece for piece, piece_id in tokenizer.get_vocab().items()}
    totals, place = [0.0] * len(doc), 0
    for piece, value in zip(tokenizer(doc.text, split_special_tokens=True)["input_ids"], bits, strict=True):
        symbols = spelled[piece]  # one character for each byte
        counted = [i for i in range(len(symbols)) if symbols[: i + 1].strip("Ġ")] or range(len(symbols))
        for i in counted:
            totals[owners[place + i]] += value / len(counted)
        place += len(symbols)
    assert place == len(owners)
    return totals


def values(doc, attr="surprisal"):
    return [token._.get(attr) for token in doc]


# Numbers


def test_equals_hugging_face(plain, reference, tokenizer):
    n_split = 0
    for doc in plain.pipe(TEXTS, batch_size=5):
        bits = piece_bits(reference, tokenizer, doc.text)
        assert values(doc) == pytest.approx(share_slowly(doc, tokenizer, bits), abs=1e-4, rel=1e-5)
        assert sum(values(doc)) == pytest.approx(sum(bits), abs=1e-4, rel=1e-5)
        if bits:
            assert doc._.perplexity == pytest.approx(2 ** (sum(bits) / len(bits)), rel=1e-4)
            assert doc._.bits_per_byte == pytest.approx(sum(bits) / len(doc.text.encode("utf8")), rel=1e-5)
        n_split += len(bits) > len(doc)
    assert n_split


def test_a_word_of_several_pieces_has_their_sum(plain, reference, tokenizer):
    doc = plain("The crossed")
    bits = piece_bits(reference, tokenizer, doc.text)
    n_first = len(tokenizer("The")["input_ids"])
    assert len(bits) > n_first + 1
    assert doc[1]._.surprisal == pytest.approx(sum(bits[n_first:]), abs=1e-4)
    assert doc[:2]._.surprisal == pytest.approx(doc[0]._.surprisal + doc[1]._.surprisal)
    assert doc[1:1]._.surprisal == 0


def test_a_piece_over_several_tokens_is_split_by_bytes(plain, reference, tokenizer):
    doc = Doc(plain.vocab, words=["a", "t", "he"], spaces=[True, False, False])
    assert len(tokenizer(" the")["input_ids"]) == 1
    bits = piece_bits(reference, tokenizer, "a the")
    assert len(bits) == 2
    assert values(plain(doc)) == pytest.approx([bits[0], bits[1] / 3, bits[1] * 2 / 3], abs=1e-4)


def test_white_space(plain, reference, tokenizer):
    """Between two tokens, in a token of its own, at the end; as a piece of its own or as the beginning of one."""
    doc = plain(Doc(plain.vocab, words=["a", " ", "the", "."], spaces=[True, False, False, True]))
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(doc.text)["input_ids"])
    assert pieces == ["a", "Ġ", "Ġthe", ".", "Ġ"]
    bits = piece_bits(reference, tokenizer, doc.text)
    assert values(doc) == pytest.approx([bits[0], bits[1], bits[2], bits[3] + bits[4]], abs=1e-4)
    doc = plain(Doc(plain.vocab, words=["a", " ", "the"], spaces=[False] * 3))
    assert values(doc) == pytest.approx(
        [*piece_bits(reference, tokenizer, "a the")[:1], 0.0, doc[2]._.surprisal]
    )


@settings(max_examples=50, deadline=None)
@given(tokens=st.lists(words, max_size=12), spaces=st.lists(st.booleans(), min_size=12, max_size=12))
@example(tokens=[" ", "\n", " a"], spaces=[True] * 12)
@example(tokens=list("the river"), spaces=[False] * 12)
def test_any_tokens(plain, tokenizer, reference, tokens, spaces):
    """Every token has a finite number of bits, and they add up to those of the pieces."""
    doc = plain(Doc(plain.vocab, words=tokens, spaces=spaces[: len(tokens)]))
    assert all(isinstance(x, float) and math.isfinite(x) and x > -1e-6 for x in values(doc))
    bits = piece_bits(reference, tokenizer, doc.text)
    assert values(doc) == pytest.approx(share_slowly(doc, tokenizer, bits), abs=2e-3, rel=1e-5)
    assert sum(values(doc)) == pytest.approx(sum(bits), abs=1e-3, rel=1e-5)


def test_rows_of_no_piece_count_as_in_hugging_face(plain, tokenizer):
    """The checkpoint has 8 more rows than pieces."""
    model = plain.get_pipe(NAME).language_model
    assert model.lm_head.weight.shape[0] == len(tokenizer) + 8


def test_bits_per_byte_are_those_of_training(plain, tokenizer):
    """As `train-lm` evaluates: `</s>` before each line."""
    config = DataConfig(max_length=512, batch_pieces=512)
    file = encode_file(TextFile("one", [], TEXTS[:1]), tokenizer, config)
    expected = evaluate(plain.get_pipe(NAME).language_model, [file], config).bpb
    assert plain(TEXTS[0])._.bits_per_byte == pytest.approx(expected, rel=1e-5)


def test_no_docs(plain):
    assert plain.get_pipe(NAME).predict([]) == [] and list(plain.pipe([])) == []


# The space belongs to the word before it


def correct_slowly(doc, tokenizer, reference):
    """P(word) * P(boundary after) / P(boundary before), where there is a space; words without split pieces only."""
    ids = [2, *tokenizer(doc.text, split_special_tokens=True)["input_ids"]]
    odds = log_odds(reference, ids)
    boundaries = [i for piece, i in tokenizer.get_vocab().items() if piece.startswith("Ġ")] + [2]
    boundary = -numpy.logaddexp2.reduce(odds[:, boundaries], axis=1)  # (places,)
    result = share_slowly(doc, tokenizer, [-odds[i, piece] for i, piece in enumerate(ids[1:])])
    place = 0  # of the last piece so far
    for token in doc:
        if token.i and doc[token.i - 1].whitespace_:
            result[token.i] -= boundary[place]
        place = len(tokenizer(doc[: token.i + 1].text, split_special_tokens=True)["input_ids"])
        if token.whitespace_ or token.i + 1 == len(doc):
            result[token.i] += boundary[place]
    return result, boundary[-1]


@pytest.mark.parametrize(
    "text", ["The river was high in spring, and nobody crossed", "今天 Wei 在 Paris 。", "a"]
)
def test_correction_equals_the_formula(make, reference, tokenizer, text):
    doc, before = make(leading_space_correction=True)(text), make()(text)
    expected, end = correct_slowly(doc, tokenizer, reference)
    assert values(doc) == pytest.approx(expected, abs=1e-4)
    assert sum(values(doc)) == pytest.approx(sum(values(before)) + end, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(values(doc), values(before), strict=True)) > 0.01
    assert doc._.perplexity == pytest.approx(before._.perplexity, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(tokens=st.lists(words, max_size=12), spaces=st.lists(st.booleans(), min_size=12, max_size=12))
def test_correction_of_any_tokens(corrected, plain, tokens, spaces):
    """No probability above 1, also where a piece spans tokens; and what is moved is not lost."""
    one, other = (
        nlp(Doc(nlp.vocab, words=tokens, spaces=spaces[: len(tokens)])) for nlp in (corrected, plain)
    )
    assert all(math.isfinite(x) and x > -1e-5 for x in values(one))
    assert sum(values(one)) > sum(values(other)) - 1e-3
    if not any(c == " " for c in one.text):
        assert values(one)[:-1] == pytest.approx(values(other)[:-1], abs=1e-4, rel=1e-5)


@pytest.fixture(scope="module")
def corrected(make):
    return make(leading_space_correction=True)


# Windows and batches


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("window, context", [(8, 3), (1, 0), (5, 4)])
def test_long_docs(make, reference, tokenizer, window, context, correction):
    text = " ".join(TEXTS[:4])
    nlp = make(window=window, context=context, leading_space_correction=correction)
    doc = nlp(text)
    ids = [2, *tokenizer(text, split_special_tokens=True)["input_ids"]]
    odds = []  # of the place that the first window with it gives
    for place in range(len(ids)):
        start = 0
        while start + window <= place:
            start += window - context
        odds.append(log_odds(reference, ids[start : place + 1])[-1])
    odds = numpy.array(odds)
    bits = [-odds[i, piece] for i, piece in enumerate(ids[1:])]
    if correction:
        boundaries = [i for piece, i in tokenizer.get_vocab().items() if piece.startswith("Ġ")] + [2]
        end = -numpy.logaddexp2.reduce(odds[-1, boundaries])
        assert sum(values(doc)) == pytest.approx(sum(bits) + end, rel=1e-5)
    else:
        assert values(doc) == pytest.approx(share_slowly(doc, tokenizer, bits), abs=1e-4, rel=1e-5)
    assert doc._.perplexity == pytest.approx(2 ** (sum(bits) / len(bits)), rel=1e-4)


def test_one_window_is_as_good_as_several_on_what_it_holds(make, plain):
    text = TEXTS[0] * 4
    short, whole = values(make(window=16, context=8)(text)), values(plain(text))
    assert short[:3] == pytest.approx(whole[:3], abs=1e-5)
    assert max(abs(a - b) for a, b in zip(short, whole, strict=True)) > 0.1


@pytest.mark.parametrize("correction", [False, True])
def test_a_doc_does_not_depend_on_its_batch(make, correction):
    config = {"leading_space_correction": correction, "window": 32, "context": 8}
    wide, narrow = make(**config), make(**config, max_batch_items=1)
    alone = [values(narrow(text)) for text in TEXTS]
    for batch_size in (3, 100):
        for expected, doc in zip(alone, wide.pipe(TEXTS, batch_size=batch_size), strict=True):
            numpy.testing.assert_allclose(values(doc), expected, rtol=1e-5, atol=1e-5)


def test_batches_stay_under_their_budget(make, monkeypatch):
    sizes = []
    real = module.last_states

    def count(model, sequences, counts):
        sizes.append([len(s) for s in sequences])
        return real(model, sequences, counts)

    monkeypatch.setattr(module, "last_states", count)
    list(make(window=20, context=5, max_batch_items=50).pipe(TEXTS))
    assert len(sizes) > 1 and max(map(sum, sizes)) <= 50
    assert max(max(s) for s in sizes) <= 20


# Beginnings and ends


def test_without_bos_the_first_piece_has_nothing(make, reference, tokenizer):
    nlp = make(bos=False)
    text = "river today"
    ids = tokenizer(text)["input_ids"]
    first = tokenizer.decode(ids[:1])
    doc = Doc(
        nlp.vocab,
        words=[first[:1], first[1:], text[len(first) : 5], "today"],
        spaces=[False, False, True, False],
    )
    assert doc.text == text and len(first) in (2, 3, 4)
    odds = log_odds(reference, ids)
    bits = [-odds[i, piece] for i, piece in enumerate(ids[1:])]
    found = values(nlp(doc))
    assert math.isnan(found[0]) and math.isnan(found[1])
    assert sum(found[2:]) == pytest.approx(sum(bits), abs=1e-4)
    assert doc._.perplexity == pytest.approx(2 ** (sum(bits) / len(bits)), rel=1e-4)
    assert doc._.bits_per_byte == pytest.approx(sum(bits) / (len(text) - len(first)), rel=1e-4)
    single = nlp("a")
    assert math.isnan(single[0]._.surprisal) and math.isnan(single._.perplexity)
    assert math.isnan(single._.bits_per_byte)


@pytest.mark.parametrize("config", [{}, {"bos": False}, {"leading_space_correction": True}])
def test_docs_without_text(make, config):
    nlp = make(**config)
    for doc in (nlp(""), *nlp.pipe(["", "", ""])):
        assert math.isnan(doc._.perplexity) and math.isnan(doc._.bits_per_byte)
        assert doc[:]._.surprisal == 0
    for text in (" ", "\n\n", " \t\u3000"):
        assert all(isinstance(x, float) for x in values(nlp(text)))


def test_an_improbable_text_has_an_infinite_perplexity():
    found = module.DocSurprisal(numpy.array([5000.0]), 5000.0, 1, 1)
    assert found.perplexity == math.inf and found.bits_per_byte == 5000


# Bad Docs, settings, saving


@pytest.mark.parametrize("correction", [False, True])
def test_one_bad_doc_does_not_lose_its_batch(make, correction):
    nlp = make(leading_space_correction=correction)
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((docs, error)))
    texts = ["The river", "half a pair \ud800", "今天"]
    docs = []
    for text in texts:
        doc = nlp.make_doc(text.replace("\ud800", "x"))
        if "\ud800" in text:
            doc = BadDoc(doc)
        docs.append(doc)
    done = list(nlp.get_pipe(NAME).pipe(docs))
    assert [doc.text for doc in done] == [texts[0], texts[2]]
    assert all(math.isfinite(x) for doc in done for x in values(doc))
    assert len(failed) == 1 and isinstance(failed[0][1], InputError)


class BadDoc:
    """A Doc whose text is no Unicode, as damaged files leave it."""

    def __init__(self, doc):
        self.doc = doc
        self.text = "half a pair \ud800"
        self._ = doc._

    def __len__(self):
        return len(self.doc)


def test_pieces_that_do_not_spell_the_text(tokenizer):
    doc = Doc(Vocab(), words=["river"])
    ids = cut_docs(tokenizer, [doc])[0].ids
    with pytest.raises(InputError, match="spell the text"):
        byte_places(doc, ids[:-1], Spelling.of(tokenizer))
    with pytest.raises(InputError, match="spell the text"):
        byte_places(doc, ids[:0], Spelling.of(tokenizer))


def test_a_tokenizer_that_reads_a_space_before_the_text(checkpoint):
    tokenizer = BloomTokenizerFast.from_directory(checkpoint, add_prefix_space=True)
    doc = Doc(Vocab(), words=["the", "river"])
    ids = cut_docs(tokenizer, [doc])[0].ids
    places = byte_places(doc, ids, Spelling.of(tokenizer))
    bits = numpy.arange(1.0, len(ids) + 1)
    assert places.share(bits).tolist() == pytest.approx([1.0, bits[1:].sum()])


def test_other_names(make):
    nlp = make(attr="bits_of_it", perplexity_attr="ppl", bits_per_byte_attr=None)
    doc = nlp("The river")
    assert values(doc, "bits_of_it") == values(make()("The river"))
    assert doc[:]._.bits_of_it == pytest.approx(sum(values(doc, "bits_of_it")))
    assert doc._.ppl > 1 and doc._.bits_per_byte is None
    assert nlp.make_doc("a b")[:]._.bits_of_it is None


@pytest.mark.parametrize(
    "config, message",
    [
        ({"window": 0, "context": 0}, "context < window"),
        ({"window": 8, "context": 8}, "context < window"),
        ({"context": -1}, "context < window"),
        ({"max_batch_items": 0}, "max_batch_items"),
        ({"attr": ""}, "names of extensions"),
        ({"perplexity_attr": ""}, "names of extensions"),
        ({"perplexity_attr": "same", "bits_per_byte_attr": "same"}, "two different ones"),
        ({"attr": "taken_by_tokens"}, "extension of Token"),
        ({"attr": "taken_by_spans"}, "extension of Span"),
        ({"perplexity_attr": "taken_by_docs"}, "extension of Doc"),
    ],
)
def test_settings_that_cannot_be(make, config, message):
    Token.set_extension("taken_by_tokens", getter=len, force=True)
    Span.set_extension("taken_by_spans", default=0, force=True)
    Doc.set_extension("taken_by_docs", method=len, force=True)
    with pytest.raises(ConfigError, match=message):
        make(**config)


def test_another_model_is_refused(make):
    nlp = make()
    with pytest.raises(ConfigError, match="LanguageModel.v2"):
        BloomSurprisal(nlp, spacy.blank("xx").add_pipe("tok2vec").model)


def test_saving(make, checkpoint, randomize, tmp_path):
    model = BloomForCausalLM.from_pretrained(checkpoint)
    randomize(model, seed=5).save_pretrained(tmp_path / "other")
    BloomTokenizerFast.from_directory(checkpoint).save_pretrained(tmp_path / "other")
    config = {"leading_space_correction": True, "attr": "saved_bits"}
    nlp = make(model={"name": str(tmp_path / "other")}, **config)
    expected = [values(doc, "saved_bits") for doc in nlp.pipe(TEXTS)]
    assert expected != [values(doc, "saved_bits") for doc in make(**config).pipe(TEXTS)]
    nlp.to_disk(tmp_path / "nlp")
    shutil.rmtree(tmp_path / "other")
    again = make(**config).from_bytes(nlp.to_bytes())
    for loaded in (spacy.load(tmp_path / "nlp"), again, pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        for bits, doc in zip(expected, loaded.pipe(TEXTS), strict=True):
            assert values(doc, "saved_bits") == pytest.approx(bits, abs=1e-5)


def test_settings_of_a_saved_pipeline_can_be_overridden(make, tmp_path):
    make(attr="saved_bits").to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={f"components.{NAME}.attr": "other_bits"})
    assert nlp("a")[0]._.other_bits > 0


def test_on_the_transformers_weights(make, add_transformer, randomize, plain, tmp_path):
    nlp = spacy.blank("xx")
    add_transformer(nlp)
    nlp.add_pipe(NAME, config={"upstream": "bloom_transformer", "model": {"name": "never-read"}})
    assert [values(doc) for doc in nlp.pipe(TEXTS)] == [values(doc) for doc in plain.pipe(TEXTS)]
    decoder = nlp.get_pipe("bloom_transformer").model.shims[0].module
    own_weights(decoder)  # as before training: the plain pipeline has the same memory
    randomize(decoder, seed=3)
    changed = [values(doc) for doc in nlp.pipe(TEXTS)]
    assert changed != [values(doc) for doc in plain.pipe(TEXTS)]
    nlp.to_disk(tmp_path / "nlp")
    assert not (tmp_path / "nlp" / NAME / "model").exists()
    assert [values(doc) for doc in spacy.load(tmp_path / "nlp").pipe(TEXTS)] == changed


def test_sourced_into_another_pipeline(add_transformer, randomize, tmp_path):
    """It computes with the weights of the pipeline that it stands in, as after loading."""
    first, second = spacy.blank("xx"), spacy.blank("xx")
    for nlp in (first, second):
        add_transformer(nlp)
    first.add_pipe(NAME, config={"upstream": "bloom_transformer"})
    decoder = second.get_pipe("bloom_transformer").model.shims[0].module
    own_weights(decoder)
    randomize(decoder, seed=3)
    alone = [values(doc) for doc in first.pipe(TEXTS)]
    second.add_pipe(NAME, source=first)
    del first, nlp
    gc.collect()
    found = [values(doc) for doc in second.pipe(TEXTS)]
    second.to_disk(tmp_path / "nlp")
    assert found == [values(doc) for doc in spacy.load(tmp_path / "nlp").pipe(TEXTS)] != alone
    second.remove_pipe("bloom_transformer")
    del decoder
    gc.collect()
    with pytest.raises(ConfigError, match="no component of that name"):
        second("a")


SCRIPT = """
import sys, spacy

if __name__ == "__main__":
    texts = ["The river was high", "", "  ", "Omar visits Cairo " * 40] * 4
    nlp = spacy.load(sys.argv[1])
    first = list(nlp.pipe(texts, n_process=2, batch_size=3))
    alone = list(nlp.pipe(texts, batch_size=3))
    for one, two in zip(alone, first, strict=True):
        assert one.text == two.text
        assert all(abs(a._.surprisal - b._.surprisal) < 1e-4 for a, b in zip(one, two, strict=True))
        assert not one.text or abs(one._.perplexity - two._.perplexity) < 1e-3 * one._.perplexity
        assert not len(one) or abs(one[:]._.surprisal - two[:]._.surprisal) < 1e-2
    print("done")
"""


def test_two_processes(make, tmp_path, python_spacy):
    make().to_disk(tmp_path / "nlp")
    (tmp_path / "work.py").write_text(SCRIPT, encoding="utf8")
    done = python_spacy.run(tmp_path / "work.py", tmp_path / "nlp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "done\n"
