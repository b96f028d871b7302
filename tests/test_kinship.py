"""What isinstance says of our classes with transformers, and without."""

import copy
import pickle

import torch
import transformers

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomModel, BloomTokenizerFast
from spacy_bloom.kinship import Kin

CONFIG = dict(vocab_size=50, hidden_size=8, n_layer=1, n_head=2)


def test_transformers_takes_them_for_its_own():
    model, tokenizer = BloomModel(BloomConfig(**CONFIG)), BloomTokenizerFast.from_pretrained("tiny-bloom")
    output = model(torch.tensor([[4, 5]]))
    assert isinstance(model, transformers.PreTrainedModel) and isinstance(model, BloomModel)
    assert isinstance(tokenizer, transformers.PreTrainedTokenizerFast)
    assert isinstance(output, transformers.utils.ModelOutput) and isinstance(output, dict)
    assert not isinstance(model, transformers.PreTrainedTokenizerBase)


def test_their_type_stays_ours():
    model = BloomForCausalLM(BloomConfig(**CONFIG))
    assert type(model) is BloomForCausalLM and not issubclass(BloomForCausalLM, transformers.PreTrainedModel)
    assert model.__class__.__name__ == "BloomForCausalLM" and model.__class__.__module__.startswith(
        "spacy_bloom"
    )
    assert model.__class__.from_pretrained.__func__ is BloomForCausalLM.from_pretrained.__func__
    for copied in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(copied) is BloomForCausalLM


def test_a_module_may_become_another():
    class Other(BloomModel):
        pass

    model = BloomModel(BloomConfig(**CONFIG))
    model.__class__ = Other
    assert type(model) is Other


def test_nothing_is_imported(python_torch):
    code = (
        "import sys\nfrom spacy_bloom import BloomConfig, BloomModel\n"
        f"model = BloomModel(BloomConfig(**{CONFIG}))\n"
        "assert model.__class__ is BloomModel and 'transformers' not in sys.modules"
    )
    assert python_torch.run("-c", code).returncode == 0


def test_a_class_of_theirs_that_is_not_there():
    class Lone(Kin):
        _kin = ("transformers", "NoSuchClass")

    assert Lone().__class__ is Lone
