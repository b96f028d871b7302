"""The parts of the configs that `init-config` writes: what each task adds, and what all share. Other options have the
defaults of their components and of spaCy.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping

LISTENER = {
    "@architectures": "spacy-bloom.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
}
# BLOOM does not see what follows a token; a window over the neighbours does.
ENCODE = {
    "@architectures": "spacy.MaxoutWindowEncoder.v2",
    "width": 128,
    "window_size": 1,
    "maxout_pieces": 3,
    "depth": 2,
}
# Its pieces say little about rare names; hashed words, their ends and shapes tell them apart.
EMBED = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 64,
    "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
    "rows": [2500, 500, 1000, 500],
    "include_static_vectors": False,
}
# They find names from few texts, where a small BLOOM sees little.
TOKEN_NGRAMS = {
    "@architectures": "spacy-bloom.NgramTokenClassifier.v1",
    "ngram_sizes": [2, 3, 4, 5],
    "rows": 131072,
    "feature_dropout": 0.1,
}
# They learn topics from few texts, where a small BLOOM sees little.
NGRAMS = {"@architectures": "spacy-bloom.NgramClassifier.v1", "ngram_sizes": [3, 4], "rows": 131072}
TRANSFORMER = "transformer"  # the name under which spaCy's debug model looks for it
# storage_dtype: half the size on disk.
TRANSFORMER_CONFIG = {
    "factory": "bloom_transformer",
    "max_batch_items": 1024,
    "model": {
        "@architectures": "spacy-bloom.TransformerModel.v2",
        "name": "${paths.checkpoint}",
        "window": 512,
        "context": 128,
        "dtype": "float32",
        "storage_dtype": "float16",
    },
}
COMMON = """
[paths]
train = null
dev = null

[system]
seed = 0
gpu_allocator = null

[nlp]

[components]

[training]
accumulate_gradient = 1
patience = 0
max_epochs = 0
eval_frequency = 500

[training.batcher]
@batchers = "spacy.batch_by_words.v1"
discard_oversize = false
tolerance = 0.2

[training.logger]
@loggers = "spacy-bloom.ConsoleLogger.v1"
progress_bar = "train"
console_output = true

[training.optimizer]
@optimizers = "Adam.v1"

[training.optimizer.learn_rate]
@schedules = "warmup_linear.v1"
warmup_steps = 100
"""


@dataclass(frozen=True)
class Task:
    """A task that a pipeline can learn.

    about (str): A short description.
    name (str): Name of its component in the pipeline.
    writes (str): The annotation that it learns and writes; no two components of a pipeline write the same.
    component (Mapping[str, Any]): Its section of [components].
    scores (Mapping[str, float | None]): Weights in [training.score_weights], which add up to 1.
    shared (bool): Whether it listens to the pipeline's transformer; otherwise it has its own BLOOM.
    batch_docs (int): Docs that nlp.pipe buffers.
    batch_words (int): Words in a training batch.
    max_steps (int): Training steps.
    """

    about: str
    name: str
    writes: str
    component: Mapping[str, Any]
    scores: Mapping[str, Any]
    shared: bool = field(default=True, kw_only=True)
    batch_docs: int = field(default=256, kw_only=True)
    batch_words: int = field(default=1500, kw_only=True)
    max_steps: int = field(default=2000, kw_only=True)


def _token_classifier(target: str, **model: Any) -> Dict[str, Any]:
    model = {"@architectures": "spacy-bloom.TokenClassifier.v2", "encode": ENCODE, **model}
    return {"factory": "bloom_token_classifier", "target": target, "model": model}


def _span_classifier(target: str) -> Dict[str, Any]:
    second = {"linear_model": TOKEN_NGRAMS, "linear_share": 0.6}
    return _token_classifier(target, embed=EMBED, learn_transitions=True, **second)


def _text_classifier(exclusive: bool) -> Dict[str, Any]:
    architecture = "spacy-bloom.TextClassifier.v2"
    model = {"@architectures": architecture, "linear_model": NGRAMS, "linear_share": 0.8, "tok2vec": LISTENER}
    return {"factory": "bloom_text_classifier", "exclusive": exclusive, "model": model}


def _spacy_tagger(factory: str) -> Dict[str, Any]:
    return {"factory": factory, "model": {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}}


QUESTION_ANSWERER = {
    "factory": "bloom_question_answerer",
    "max_batch_items": 2048,
    "model": {
        "@architectures": "spacy-bloom.QuestionAnswerer.v2",
        "name": "${paths.checkpoint}",
        "window": 384,
        "context": 128,
        "dtype": "float32",
        "storage_dtype": "float16",
        "train_transformer": True,
        "encode": ENCODE,
        "question_overlap": True,
    },
}
# SOURCE: spaCy's quickstart_training.jinja, for a transformer, whose vectors have words and a window beside them here.
PARSER = {
    "factory": "parser",
    "model": {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "parser",
        "extra_state_tokens": False,
        "hidden_width": 128,
        "maxout_pieces": 3,
        "use_upper": False,
        "tok2vec": {
            "@architectures": "spacy-bloom.EncodedTok2Vec.v1",
            "tok2vec": LISTENER,
            "encode": ENCODE,
            "embed": EMBED,
        },
    },
}

# In the order of their components in a pipeline.
TASKS = {
    "ner": Task(
        "entities",
        "bloom_token_classifier",
        "doc.ents",
        _span_classifier("ents"),
        {"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0},
    ),
    "spans": Task(
        "spans that do not overlap each other",
        "bloom_token_classifier_spans",
        'doc.spans["sc"]',
        _span_classifier("spans"),
        {"spans_sc_f": 1.0, "spans_sc_p": 0.0, "spans_sc_r": 0.0},
    ),
    "tag": Task(
        "fine-grained tags, with a window over the neighbours",
        "bloom_token_classifier_tag",
        "token.tag",
        _token_classifier("tag", embed=EMBED),
        {"tag_acc": 1.0},
        batch_words=500,
    ),
    "pos": Task(
        "parts of speech, likewise",
        "bloom_token_classifier_pos",
        "token.pos",
        _token_classifier("pos", embed=EMBED),
        {"pos_acc": 1.0},
        batch_words=500,
    ),
    "tagger": Task(
        "fine-grained tags, by spaCy's component",
        "tagger",
        "token.tag",
        _spacy_tagger("tagger"),
        {"tag_acc": 1.0},
    ),
    "morphologizer": Task(
        "parts of speech and morphology, by spaCy's component",
        "morphologizer",
        "token.pos",
        _spacy_tagger("morphologizer"),
        {"pos_acc": 0.5, "morph_acc": 0.5},
    ),
    "parser": Task(
        "syntax and sentences, by spaCy's component",
        "parser",
        "sentences",
        PARSER,
        {"dep_uas": 0.5, "dep_las": 0.5, "sents_f": 0.0},
        batch_words=500,
    ),
    "senter": Task(
        "sentences alone, by spaCy's component",
        "senter",
        "sentences",
        _spacy_tagger("senter"),
        {"sents_f": 1.0, "sents_p": 0.0, "sents_r": 0.0},
    ),
    "textcat": Task(
        "one category for each text",
        "bloom_text_classifier",
        "doc.cats",
        _text_classifier(True),
        {"cats_score": 1.0},
    ),
    "textcat_multilabel": Task(
        "any number of categories",
        "bloom_text_classifier",
        "doc.cats",
        _text_classifier(False),
        {"cats_score": 1.0},
    ),
    "qa": Task(
        "answers to questions, on its own BLOOM",
        "bloom_question_answerer",
        'doc.spans["answers"]',
        QUESTION_ANSWERER,
        {"qa_em": 0.0, "qa_f1": 0.5, "qa_char_f1": 0.5},
        shared=False,
        batch_docs=64,
        batch_words=2000,  # of contexts: about fifteen questions
        max_steps=4000,
    ),
}
