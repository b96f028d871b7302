"""The parts of the configs that `init-config` writes: what each task adds, and what all share. Other options have the
defaults of their components and of spaCy.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple

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
    initialize (Mapping[str, Any]): Its section of [initialize.components].
    paths (tuple[str, ...]): What else it reads, as names in [paths].
    shared (bool): Whether it listens to the pipeline's transformer.
    batch_docs (int): Docs that nlp.pipe buffers.
    batch_words (int): Words in a training batch.
    max_steps (int): Training steps.
    """

    about: str
    name: str
    writes: str
    component: Mapping[str, Any]
    scores: Mapping[str, Any]
    initialize: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    paths: Tuple[str, ...] = field(default=(), kw_only=True)
    shared: bool = field(default=True, kw_only=True)
    batch_docs: int = field(default=256, kw_only=True)
    batch_words: int = field(default=1500, kw_only=True)
    max_steps: int = field(default=2000, kw_only=True)

    @property
    def is_ours(self) -> bool:
        """RETURNS (bool): Whether its component is one of this package, not of spaCy."""
        return str(self.component["factory"]).startswith("bloom_")


def _token_classifier(target: str, **model: Any) -> Dict[str, Any]:
    model = {"@architectures": "spacy-bloom.TokenClassifier.v2", "encode": ENCODE, **model}
    return {"factory": "bloom_token_classifier", "target": target, "model": model}


def _span_classifier(target: str) -> Dict[str, Any]:
    return _token_classifier(target, embed=EMBED, learn_transitions=True)


def _text_classifier(exclusive: bool) -> Dict[str, Any]:
    model = {"@architectures": "spacy-bloom.TextClassifier.v1", "tok2vec": LISTENER}
    return {"factory": "bloom_text_classifier", "exclusive": exclusive, "model": model}


def _spacy_tagger(factory: str) -> Dict[str, Any]:
    return {"factory": factory, "model": {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}}


QUESTION_ANSWERER = {
    "factory": "bloom_question_answerer",
    "max_batch_items": 2048,
    "model": {
        "@architectures": "spacy-bloom.QuestionAnswerer.v1",
        "name": "${paths.checkpoint}",
        "window": 384,
        "context": 128,
        "dtype": "float32",
        "storage_dtype": "float16",
        "train_transformer": True,
        "encode": ENCODE,
    },
}


# SOURCE: spaCy's quickstart_training.jinja, for a transformer, of all that follows.
def _transitions(factory: str, state_type: str, hidden_width: int, maxout_pieces: int) -> Dict[str, Any]:
    model = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": state_type,
        "extra_state_tokens": False,
        "hidden_width": hidden_width,
        "maxout_pieces": maxout_pieces,
        "use_upper": False,
        "tok2vec": LISTENER,
    }
    return {"factory": factory, "model": model}


def _spacy_textcat(factory: str, exclusive: bool) -> Dict[str, Any]:
    words = {
        "@architectures": "spacy.TextCatBOW.v3",
        "exclusive_classes": exclusive,
        "length": 262144,
        "ngram_size": 1,
        "no_output_layer": False,
    }
    model = {"@architectures": "spacy.TextCatEnsemble.v2", "tok2vec": LISTENER, "linear_model": words}
    return {"factory": factory, "model": model}


SPANCAT = {
    "factory": "spancat",
    "spans_key": "sc",
    "suggester": {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3, 4]},
    "model": {
        "@architectures": "spacy.SpanCategorizer.v1",
        "tok2vec": LISTENER,
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": None, "nI": None},
    },
}
# It reads each sentence as a Doc of its own, which no transformer has seen.
ENTITY_LINKER = {
    "factory": "entity_linker",
    "model": {
        "@architectures": "spacy.EntityLinker.v2",
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "pretrained_vectors": None,
            "width": 96,
            "depth": 2,
            "embed_size": 2000,
            "window_size": 1,
            "maxout_pieces": 3,
            "subword_features": True,
        },
    },
}
# A knowledge base, written by its to_disk, to --paths.kb
KNOWLEDGE_BASE = {"kb_loader": {"@misc": "spacy.KBFromFile.v1", "kb_path": "${paths.kb}"}}

# In the order of their components in a pipeline.
TASKS = {
    "ner": Task(
        "entities",
        "bloom_token_classifier",
        "doc.ents",
        _span_classifier("ents"),
        {"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0},
    ),
    "spacy.ner": Task(
        "entities, by spaCy's transitions",
        "ner",
        "doc.ents",
        _transitions("ner", "ner", 64, 2),
        {"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0},
    ),
    "spancat": Task(
        "spans that may overlap, of 1 to 4 tokens",
        "spancat",
        'doc.spans["sc"]',
        SPANCAT,
        {"spans_sc_f": 1.0, "spans_sc_p": 0.0, "spans_sc_r": 0.0},
    ),
    "spans": Task(
        "spans of any length that do not overlap",
        "bloom_token_classifier_spans",
        'doc.spans["sc"]',
        _span_classifier("spans"),
        {"spans_sc_f": 1.0, "spans_sc_p": 0.0, "spans_sc_r": 0.0},
    ),
    "tag": Task(
        "fine-grained tags",
        "bloom_token_classifier_tag",
        "token.tag",
        _token_classifier("tag"),
        {"tag_acc": 1.0},
    ),
    "pos": Task(
        "parts of speech alone",
        "bloom_token_classifier_pos",
        "token.pos",
        _token_classifier("pos"),
        {"pos_acc": 1.0},
    ),
    "tagger": Task(
        "fine-grained tags",
        "tagger",
        "token.tag",
        _spacy_tagger("tagger"),
        {"tag_acc": 1.0},
    ),
    "morphologizer": Task(
        "parts of speech and morphology",
        "morphologizer",
        "token.pos",
        _spacy_tagger("morphologizer"),
        {"pos_acc": 0.5, "morph_acc": 0.5},
    ),
    "trainable_lemmatizer": Task(
        "base forms, as edits of the words",
        "trainable_lemmatizer",
        "token.lemma",
        _spacy_tagger("trainable_lemmatizer"),
        {"lemma_acc": 1.0},
    ),
    "parser": Task(
        "syntax and sentences",
        "parser",
        "sentences",
        _transitions("parser", "parser", 128, 3),
        {"dep_uas": 0.5, "dep_las": 0.5, "sents_f": 0.0},
    ),
    "senter": Task(
        "sentences alone",
        "senter",
        "sentences",
        _spacy_tagger("senter"),
        {"sents_f": 1.0, "sents_p": 0.0, "sents_r": 0.0},
    ),
    "entity_linker": Task(
        "entities of a knowledge base, by a CNN of its own",
        "entity_linker",
        "ent.kb_id",
        ENTITY_LINKER,
        {"nel_micro_f": 1.0, "nel_micro_p": 0.0, "nel_micro_r": 0.0},
        initialize=KNOWLEDGE_BASE,
        paths=("kb",),
        shared=False,
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
    "spacy.textcat": Task(
        "one category, from BLOOM and a bag of words",
        "textcat",
        "doc.cats",
        _spacy_textcat("textcat", True),
        {"cats_score": 1.0},
    ),
    "spacy.textcat_multilabel": Task(
        "any number of categories, likewise",
        "textcat_multilabel",
        "doc.cats",
        _spacy_textcat("textcat_multilabel", False),
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
# Names of spaCy's pipes for which there is a component of this package, and those for which there is one of
# spaCy, beside the default.
OURS = {"spancat": "spans", "tagger": "tag", "morphologizer": "pos"}
SPACYS = {name: f"spacy.{name}" for name in ("ner", "textcat", "textcat_multilabel")}
