"""A small tokenizer, two files of lines, and models to train on them."""

import numpy
import pytest
import torch

from spacy_bloom import BloomForCausalLM
from spacy_bloom.config import BloomConfig
from spacy_bloom.pretraining.config import TrainingConfig
from spacy_bloom.pretraining.data import DataConfig, encode_file, read_text_file
from spacy_bloom.pretraining.loop import LMTrainer
from spacy_bloom.pretraining.tokenizer_training import TokenizerConfig, train_tokenizer
from spacy_bloom.tokenizer import BloomTokenizerFast

WORDS = [
    "der",
    "die",
    "das",
    "ein",
    "kleines",
    "Haus",
    "steht",
    "am",
    "Ufer",
    "und",
    "wartet",
    "auf",
    "Regen",
    "雨",
    "नदी",
]
DATA = DataConfig(max_length=16, batch_pieces=64, held_back_every=5, max_eval_lines=10)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _make_lines(n, seed=0):
    rng = numpy.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 25))) for _ in range(n)]


@pytest.fixture(scope="session")
def tokenizer():
    trained = train_tokenizer([_make_lines(50)], TokenizerConfig(vocab_size=300), seed=0)
    return BloomTokenizerFast(tokenizer_object=trained)


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("text")
    for name, n in {"big": 120, "small": 12}.items():
        (path / f"{name}.txt").write_text("\n".join(_make_lines(n, seed=n)), encoding="utf8")
    return [read_text_file(path / f"{name}.txt", name, DATA) for name in ("big", "small")]


@pytest.fixture(scope="session")
def files(texts, tokenizer):
    return [encode_file(text, tokenizer, DATA) for text in texts]


def _make_model(seed=0, **options):
    torch.manual_seed(seed)
    return BloomForCausalLM(BloomConfig(vocab_size=300, hidden_size=16, n_layer=2, n_head=2, **options))


def _make_config(**values):
    return TrainingConfig(**{"learning_rate": 1e-2, "max_steps": 6, "save_minutes": 0.0, **values})


def _make_trainer(files, path, model=None, **values):
    return LMTrainer(model or _make_model(), files, _make_config(**values), DATA, path)


@pytest.fixture(scope="session")
def make_lines():
    return _make_lines


@pytest.fixture(scope="session")
def make_model():
    return _make_model


@pytest.fixture(scope="session")
def make_config():
    return _make_config


@pytest.fixture(scope="session")
def make_trainer():
    return _make_trainer


@pytest.fixture(scope="session")
def data():
    return DATA
