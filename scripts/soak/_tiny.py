"""Random tiny models and pipelines, which are made in no time."""

import warnings
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from tokenizers import Tokenizer

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.pipeline.answering.answers import Answer, set_answers
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer

SENTENCES = [
    "Ana lives in Lima, near the river, and it never rains there.",
    "def f(a, b):\n    return a + b  # the sum",
    "¿Dónde está la biblioteca? O pão ainda está quente.",
    "今天天气很好，我们去公园散步吧。他说：“明天见！”",
    "القطار يصل إلى المحطة في الساعة الخامسة، ثم يغادر۔",
    "यह किताब बहुत अच्छी है। মেঘ জমেছে। இன்று வானம் நீலமாக இருக்கிறது.",
    "Hôm nay trời đẹp. Ọjọ́ dára púpọ̀ lónìí. Gaur goizean euria egin du.",
]
NAMES = {"Ana": "PER", "Lima": "LOC"}
TOKENIZER = {"@tokenizers": "spacy-bloom.MultilingualTokenizer.v1"}


def randomize(module: Any, seed: int, std: float = 0.2) -> Any:
    """RETURNS (Module): The module, its weights drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter.add_(1.0)
    return module


def write_checkpoint(path: Path, *, seed: int = 0, vocab_size: int = 600, hidden_size: int = 32) -> Path:
    """RETURNS (Path): A directory with a random language model and its tokenizer."""
    config = TokenizerConfig(vocab_size=vocab_size, min_frequency=1)
    trained = train_tokenizer([SENTENCES[:3], SENTENCES[3:]], config, seed=0)
    tokenizer = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained.to_str()), padding_side="left")
    sizes: dict[str, Any] = {"hidden_size": hidden_size, "n_layer": 2, "n_head": 4, "pad_token_id": 3}
    model = BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer) + 8, **sizes))
    randomize(model, seed).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def examples(nlp: Language, labels: tuple[str, str] = ("some", "none")) -> list[Example]:
    """RETURNS (list[Example]): With entities, categories, and answers."""
    made = []
    for text in [*SENTENCES, "Ana", ""]:
        gold = nlp.make_doc(text)
        gold.set_ents([Span(gold, t.i, t.i + 1, NAMES[t.text]) for t in gold if t.text in NAMES])
        gold.cats = {label: float((i == 0) == bool(gold.ents)) for i, label in enumerate(labels)}
        if nlp.has_pipe("bloom_question_answerer"):
            set_answers(gold, {"Who?": [Answer(0, 1, 0.0)] if gold.ents else []}, key="answers")
        made.append(Example(nlp.make_doc(text), gold))
    return made


def trained(checkpoint: Path, *, seed: int = 0, labels: tuple[str, str] = ("some", "none")) -> Language:
    """RETURNS (Language): A transformer with components that listen to it; weights and last layers are random."""
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": TOKENIZER}})
    window = {"window": 48, "context": 12}
    nlp.add_pipe("bloom_transformer", config={"model": {"name": str(checkpoint), **window}})
    nlp.add_pipe("bloom_token_classifier")
    nlp.add_pipe("bloom_text_classifier")
    return _initialized(nlp, seed, labels)


def answering(checkpoint: Path, *, seed: int = 0) -> Language:
    """RETURNS (Language): A question answerer with random weights."""
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": TOKENIZER}})
    settings = {"name": str(checkpoint), "window": 48, "context": 12}
    nlp.add_pipe("bloom_question_answerer", config={"model": settings, "questions": ["Who?", "Where </s>?"]})
    return _initialized(nlp, seed, ("some", "none"))


def speaking(checkpoint: Path, factory: str, **config: Any) -> Language:
    """RETURNS (Language): A component with a language model."""
    nlp = spacy.blank("xx", config={"nlp": {"tokenizer": TOKENIZER}})
    nlp.add_pipe(factory, config={"model": {"name": str(checkpoint)}, **config})
    return nlp


def _initialized(nlp: Language, seed: int, labels: tuple[str, str]) -> Language:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nlp.initialize(lambda: examples(nlp, labels))
    rng = torch.Generator().manual_seed(seed)
    for _, pipe in nlp.pipeline:
        for node in pipe.model.walk():  # type: ignore[attr-defined]
            for shim in node.shims:
                randomize(shim.module, seed)
            for name in node.param_names:
                if node.has_param(name):
                    drawn = torch.randn(node.get_param(name).shape, generator=rng) * 0.5
                    node.set_param(name, node.ops.asarray(drawn.numpy()))
    return nlp
