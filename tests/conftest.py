"""What several test modules share: a tiny tokenizer, random tiny models, and their checkpoint on disk."""

import json
import multiprocessing
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any import reads it: no test asks the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from tokenizers import Tokenizer

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer

from .warm_python import ColdPython, WarmPython

# Of the oldest thinc: it takes 1 for a text, and a `$` that is written by hand for one of its own marks.
OLD_CONFECTION = version("confection").startswith("0.")
# Before 8.2 its runner mixes outputs; rich, which the typer of then writes help with, breaks lines anew.
OLD_CLICK = tuple(map(int, version("click").split(".")[:2])) < (8, 2)
PYTHON = WarmPython if hasattr(os, "fork") else ColdPython

SENTENCES = [
    "The river was high in spring, and nobody crossed it before May.",
    "def add(a, b):\n    return a + b  # the sum",
    "Il pleut depuis ce matin ; les enfants jouent à l'intérieur.",
    "¿Dónde está la biblioteca? Está cerca de la plaza, señor.",
    "O café está frio, mas o pão ainda está quente.",
    "今天天气很好，我们去公园散步吧。他说：“明天见！”",
    "القطار يصل إلى المحطة في الساعة الخامسة، ثم يغادر۔",
    "यह किताब बहुत अच्छी है। मैंने इसे दो बार पढ़ा।",
    "আজ সকালে বৃষ্টি হয়েছে। রাস্তা ভেজা।",
    "இன்று வானம் நீலமாக இருக்கிறது.",
    "Leo asubuhi watoto walikwenda shuleni wakiimba.",
    "Ọjọ́ dára púpọ̀ lónìí, a ó lọ sí ọjà.",
    "Hôm nay trời đẹp, chúng tôi đi dạo trong công viên.",
    "Gaur goizean euria egin du mendian.",
    "Prices rose by 3.5% (from $1,200 to $1,242) in 2021…",
]

# Geometries that differ in all that the mathematics depends on: head counts that are and are not powers of
# two, depth, residuals, sizes that are no multiples of 8.
TWINS = {
    "1-head": dict(n_head=1, hidden_size=24, n_layer=1, vocab_size=61),
    "3-heads": dict(
        n_head=3, hidden_size=24, n_layer=2, vocab_size=97, apply_residual_connection_post_layernorm=True
    ),
    "4-heads": dict(n_head=4, hidden_size=32, n_layer=3, vocab_size=64),
    "5-heads-untied": dict(n_head=5, hidden_size=40, n_layer=1, vocab_size=50, tie_word_embeddings=False),
    "6-heads": dict(
        n_head=6, hidden_size=36, n_layer=2, vocab_size=101, apply_residual_connection_post_layernorm=True
    ),
    "8-heads": dict(
        n_head=8, hidden_size=64, n_layer=4, vocab_size=77, apply_residual_connection_post_layernorm=True
    ),
    "7-heads": dict(n_head=7, hidden_size=28, n_layer=2, vocab_size=53, layer_norm_epsilon=1e-6),
    "12-heads": dict(n_head=12, hidden_size=96, n_layer=2, vocab_size=130),
    "16-heads-untied": dict(n_head=16, hidden_size=64, n_layer=1, vocab_size=90, tie_word_embeddings=False),
    "12-heads-epsilon": dict(
        n_head=12,
        hidden_size=48,
        n_layer=3,
        vocab_size=203,
        layer_norm_epsilon=1e-3,
        apply_residual_connection_post_layernorm=True,
    ),
}


@pytest.fixture(params=sorted(TWINS))
def twin_config(request) -> dict:
    """The fields of one geometry after the other; Hugging Face's config and ours both take them."""
    return dict(TWINS[request.param])


@pytest.fixture(scope="session")
def randomize():
    """A function that draws all weights of a module anew, so large that every difference is visible."""

    def draw(module, *, std=0.2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
                if parameter.dim() == 1 and name.endswith("weight"):
                    parameter.add_(1.0)  # of a layer norm
        return module

    return draw


@pytest.fixture(scope="session")
def difference():
    """A function that measures how far one tensor is from another, relative to the largest number there."""

    def measure(ours, theirs):
        assert ours.shape == theirs.shape
        assert torch.isfinite(ours).all()
        scale = theirs.detach().abs().max().item() if theirs.numel() else 0.0
        gap = (ours.detach() - theirs.detach()).abs().max().item() if theirs.numel() else 0.0
        return gap / scale if scale else gap

    return measure


@pytest.fixture(scope="session")
def tiny_tokenizer_json() -> str:
    """A byte-level BPE tokenizer with BLOOM's pre-tokenizer, as the content of a tokenizer.json."""
    config = TokenizerConfig(vocab_size=600, min_frequency=1)
    return train_tokenizer([SENTENCES[:5], SENTENCES[5:]], config, seed=0).to_str()


@pytest.fixture
def tiny_tokenizer(tiny_tokenizer_json) -> BloomTokenizerFast:
    """A tokenizer of its own for each test."""
    return BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json), padding_side="left")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_tokenizer_json, randomize):
    """A directory with a random tiny language model and the tokenizer. Read it; copy it to change it."""
    path = tmp_path_factory.mktemp("tiny") / "checkpoint"
    tokenizer = BloomTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json), padding_side="left"
    )
    config = BloomConfig(vocab_size=608, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3)
    assert len(tokenizer) <= config.vocab_size
    randomize(BloomForCausalLM(config)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_tokenizer_json, randomize) -> str:
    """A directory with a random language model of 32 hidden numbers and 2 layers. Read it; copy it to change
    it.
    """
    path = tmp_path_factory.mktemp("bloom") / "random-bloom"
    tokenizer = BloomTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tiny_tokenizer_json), padding_side="left"
    )
    config = BloomConfig(vocab_size=len(tokenizer) + 8, hidden_size=32, n_layer=2, n_head=4, pad_token_id=3)
    randomize(BloomForCausalLM(config)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def ended_processes():
    """Afterwards no process of `nlp.pipe(n_process=2)` is left. spaCy asks them to end, which one that was forked while
    another thread held a lock never hears; left alone, it would keep the pipes of this process open.
    """
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def make_python(tmp_path_factory):
    """A function that makes a `WarmPython` of some modules, once for the same ones."""
    made = {}

    def make(*modules, hash_seed=None):
        key = (*modules, hash_seed)
        if key not in made:
            made[key] = PYTHON(tmp_path_factory.mktemp("output"), modules, hash_seed=hash_seed)
        return made[key]

    yield make
    for python in made.values():
        python.close()


@pytest.fixture(scope="session")
def python_torch(make_python):
    """Runs scripts in processes of their own, which have imported torch; see `WarmPython.run`."""
    return make_python("torch")


@pytest.fixture(scope="session")
def python_spacy(make_python):
    """Runs scripts in processes of their own, which have imported spaCy and all that is registered."""
    return make_python("torch", "spacy", "spacy.cli", "spacy_bloom.cli", hash_seed=1)


@pytest.fixture(scope="session")
def run_ranks(python_spacy):
    """A function that runs a script, which may start ranks by `parallel/forking.py` and prints what they found as JSON.
    RETURNS (tuple): That, and its standard error.
    """
    here = Path(__file__).parent

    def run(script, *args):
        paths = os.pathsep.join(map(str, (here.parent, here / "parallel")))
        result = python_spacy.run(here / script, *args, env={**os.environ, "PYTHONPATH": paths})
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    return run
