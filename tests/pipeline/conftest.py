"""A tiny random checkpoint, and pipelines on it."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

# Layers over a listener's vectors, with the words beside them
ENCODED = {
    "@architectures": "spacy-bloom.EncodedTok2Vec.v1",
    "encode": {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 12,
        "window_size": 1,
        "maxout_pieces": 2,
        "depth": 1,
    },
    "embed": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 8,
        "attrs": ["NORM", "SHAPE"],
        "rows": [64, 32],
        "include_static_vectors": False,
    },
}
OURS, STOCK = "spacy-bloom.TransformerListener.v1", "spacy-transformers.TransformerListener.v1"


@pytest.fixture(scope="session")
def listener():
    """A function that makes the config of a listener, ours or spacy-transformers'."""

    def make(kind="ours", grad_factor=1.0, upstream="*", pooling="reduce_mean.v1"):
        return {
            "@architectures": OURS if kind == "ours" else STOCK,
            "grad_factor": grad_factor,
            "upstream": upstream,
            "pooling": {"@layers": pooling},
        }

    return make


@pytest.fixture(scope="session")
def stock_config(listener):
    """A function that makes a small config for one of spaCy's own trainable components on a listener, ours or
    spacy-transformers' ("stock"), or on layers over ours ("encoded").
    """

    def make(factory, kind="ours"):
        tok2vec = {**ENCODED, "tok2vec": listener()} if kind == "encoded" else listener(kind)
        parser = {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner" if factory == "ner" else "parser",
            "extra_state_tokens": False,
            "hidden_width": 16,
            "maxout_pieces": 2,
            "use_upper": False,
            "tok2vec": tok2vec,
        }
        tagger = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
        models = {
            "ner": parser,
            "parser": parser,
            "tagger": tagger,
            "morphologizer": tagger,
            "senter": tagger,
            "textcat": {
                "@architectures": "spacy.TextCatEnsemble.v2",
                "tok2vec": tok2vec,
                "linear_model": {
                    "@architectures": "spacy.TextCatBOW.v3",
                    "exclusive_classes": True,
                    "length": 64,
                    "ngram_size": 1,
                    "no_output_layer": False,
                },
            },
            "spancat": {
                "@architectures": "spacy.SpanCategorizer.v1",
                "tok2vec": tok2vec,
                "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 16},
                "scorer": {"@layers": "spacy.LinearLogistic.v1"},
            },
        }
        config = {"model": models[factory]}
        if factory == "parser":
            config["min_action_freq"] = 1
        if factory == "spancat":
            config["suggester"] = {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2]}
            config["threshold"] = 0.3
        return config

    return make


@pytest.fixture(scope="session")
def add_transformer(checkpoint):
    """A function that adds a bloom_transformer on the tiny checkpoint to a pipeline."""

    def add(nlp, *, window=24, context=6, name="bloom_transformer", model=None, **config):
        model = {"name": checkpoint, "window": window, "context": context, **(model or {})}
        return nlp.add_pipe("bloom_transformer", name=name, config={"model": model, **config})

    return add


TEXTS = [
    "Ana lives in Lima near Rio .",
    "今天 Wei 在 Paris 。",
    "Omar visits Cairo",
    "The café in Lisboa is open </s> now",
    "No names here at all",
]
NAMES = {"Ana": "PER", "Wei": "PER", "Omar": "PER"} | dict.fromkeys(
    ("Lima", "Rio", "Paris", "Cairo", "Lisboa"), "LOC"
)


def annotate(doc):
    """A Doc with annotation of every layer, from simple rules."""
    words = [token.text for token in doc]
    named = [word in NAMES for word in words]
    roots = [i == 0 for i in range(len(words))]
    gold = Doc(
        doc.vocab,
        words=words,
        spaces=[bool(token.whitespace_) for token in doc],
        tags=[
            "NAME" if name else "SHORT" if len(word) < 3 else "WORD"
            for word, name in zip(words, named, strict=True)
        ],
        pos=["PROPN" if name else "X" for name in named],
        morphs=["Case=Nom" if name else "" for name in named],
        heads=[i if root else i - 1 for i, root in enumerate(roots)],
        deps=["ROOT" if root else "dep" for root in roots],
        ents=[f"B-{NAMES[word]}" if name else "O" for word, name in zip(words, named, strict=True)],
    )
    gold.spans["sc"] = list(gold.ents)
    gold.cats = {"names": float(any(named)), "none": float(not any(named))}
    return gold


@pytest.fixture
def make_examples():
    """A function that makes Examples with annotation for all components, one of a Doc without tokens among
    them.
    """

    def make(nlp, texts=(*TEXTS, "")):
        return [Example(nlp.make_doc(text), annotate(nlp.make_doc(text))) for text in texts]

    return make


@pytest.fixture
def make_nlp(add_transformer, stock_config, make_examples):
    """A function that makes an initialised pipeline of a transformer and stock components."""

    def make(*factories, kind="ours", initialize=True, classifier=None, **options):
        nlp = spacy.blank("xx")
        add_transformer(nlp, **options)
        for factory in factories:
            if factory == "bloom_token_classifier":
                nlp.add_pipe(factory, config=classifier or {})
            else:
                nlp.add_pipe(factory, config=stock_config(factory, kind))
        if initialize:
            nlp.initialize(lambda: make_examples(nlp))
        return nlp

    return make


def annotation(doc):
    """All that the components write, to compare."""
    return {
        "tokens": [
            (t.text, t.tag_, t.pos_, str(t.morph), t.dep_, t.head.i, t.is_sent_start, t.ent_iob_, t.ent_type_)
            for t in doc
        ],
        "cats": {label: round(score, 4) for label, score in doc.cats.items()},
        "spans": {key: [(s.start, s.end, s.label_) for s in group] for key, group in doc.spans.items()},
    }


@pytest.fixture
def predictions():
    """A function from a pipeline to all that it writes on texts, in order."""

    def predict(nlp, texts=(*TEXTS, "", "  \n ", "Ana Ana " * 30), **options):
        return [annotation(doc) for doc in nlp.pipe(texts, **options)]

    return predict


@pytest.fixture
def weights():
    """A function from a pipeline to a copy of its transformer's weights."""

    def copy(nlp, name="bloom_transformer"):
        module = nlp.get_pipe(name).model.shims[0].module
        return {key: value.detach().clone() for key, value in module.named_parameters()}

    return copy
