"""Methods of models by Hugging Face's names, on both."""

import copy
import pickle

import pytest
import torch
import transformers
from torch import nn

import spacy_bloom
from spacy_bloom import BloomConfig, BloomForCausalLM, BloomModel, BloomPreTrainedModel
from spacy_bloom.bloom.lm_head import LinearLMHead
from spacy_bloom.errors import InputError

CLASSES = (
    "BloomModel",
    "BloomForCausalLM",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomForQuestionAnswering",
)
FIELDS = dict(vocab_size=50, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3)
IDS = torch.arange(20).view(2, 10)


@pytest.fixture
def make_twins(randomize):
    def make(cls="BloomForCausalLM", **fields):
        theirs = randomize(
            getattr(transformers, cls)(transformers.BloomConfig(**{**FIELDS, **fields})), std=0.3
        )
        ours = getattr(spacy_bloom, cls)(BloomConfig(**{**FIELDS, **fields}))
        ours.load_state_dict(theirs.state_dict())
        return ours.eval(), theirs.eval()

    return make


@pytest.mark.parametrize("cls", CLASSES)
def test_what_a_model_says_of_itself(make_twins, cls):
    ours, theirs = make_twins(cls)
    assert isinstance(ours, BloomPreTrainedModel) and ours.config_class is BloomConfig
    for name in (
        "base_model_prefix",
        "main_input_name",
        "framework",
        "supports_gradient_checkpointing",
        "dtype",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("_no_split_modules", "_skip_keys_device_placement", "device", "is_gradient_checkpointing"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.can_generate() == theirs.can_generate() == getattr(spacy_bloom, cls).can_generate()
    for name in ("embed_dim", "num_heads", "num_labels", "loss_type"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    assert type(ours.base_model).__name__ == type(theirs.base_model).__name__ == "BloomModel"
    ours.get_input_embeddings().requires_grad_(False)
    theirs.get_input_embeddings().requires_grad_(False)
    for options in ({}, {"only_trainable": True}, {"exclude_embeddings": True}):
        assert ours.num_parameters(**options) == theirs.num_parameters(**options)
    assert ours.get_memory_footprint() == theirs.get_memory_footprint() == ours.get_memory_footprint(False)
    assert torch.equal(ours.dummy_inputs["input_ids"], theirs.dummy_inputs["input_ids"])
    batch = {"input_ids": IDS}
    assert ours.floating_point_ops(batch) == theirs.floating_point_ops(batch)
    assert ours.estimate_tokens(batch) == 20 and ours.estimate_tokens({}) == 0
    ours.warnings_issued["estimate_tokens"] = True
    assert ours.warnings_issued == {"estimate_tokens": True}
    for model in (ours, theirs):
        model.add_model_tags("a")
        model.add_model_tags(["a", "b"])
        assert model.model_tags == ["a", "b"]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("mean_resizing", [True, False])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "size, multiple", [(60, None), (41, None), (51, 16), (None, 64), (None, None), (50, None)]
)
def test_resize_token_embeddings(make_twins, difference, cls, size, multiple, mean_resizing, tied):
    twins = make_twins(cls, tie_word_embeddings=tied)
    before = [model.get_input_embeddings().weight for model in twins]
    for model in twins:
        torch.manual_seed(7)
        returned = model.resize_token_embeddings(size, multiple, mean_resizing)
        assert returned is model.get_input_embeddings()
    ours, theirs = twins
    assert ours.get_input_embeddings().weight is before[0]
    assert ours.config.vocab_size == theirs.config.vocab_size == len(before[0]) == len(before[1])
    assert ours.base_model.config.vocab_size == ours.get_input_embeddings().num_embeddings == len(before[0])
    states = [model.state_dict() for model in twins]
    assert states[0].keys() == states[1].keys()
    for name, value in states[1].items():
        assert difference(states[0][name], value) < 1e-6, name
    if cls == "BloomForCausalLM":
        assert ours.lm_head.out_features == ours.lm_head.vocab_size == len(before[0])
        assert (ours.lm_head.weight is before[0]) == tied
    ids = IDS.clamp(max=len(before[0]) - 1)
    assert difference(ours(ids, attention_mask=torch.ones_like(ids))[0], theirs(ids)[0]) < 1e-5


def test_a_resized_model_is_trained_saved_and_loaded(make_twins, difference, tmp_path):
    ours, _ = make_twins()
    ours.resize_token_embeddings(64)
    ours.train()
    ours(torch.tensor([[60, 63, 1]]), labels=torch.tensor([[60, 63, 1]])).loss.backward()
    assert ours.get_input_embeddings().weight.grad.shape == (64, 24)
    ours.save_pretrained(tmp_path)
    for room in (spacy_bloom, transformers):
        back = room.BloomForCausalLM.from_pretrained(tmp_path)
        assert difference(back(IDS).logits, ours.eval()(IDS).logits) < 1e-5


@pytest.mark.parametrize("size, multiple", [(0, None), (5.0, None), (True, None), (None, 0), (None, 1.5)])
def test_sizes_that_are_none(size, multiple):
    with pytest.raises(InputError):
        BloomModel(BloomConfig(**FIELDS)).resize_token_embeddings(size, multiple)


def test_embeddings_are_got_and_set(make_twins, difference):
    for model in make_twins():
        embedding = nn.Embedding(50, 24)
        model.set_input_embeddings(embedding)
        assert model.get_input_embeddings() is embedding is model.transformer.word_embeddings
        head = nn.Linear(24, 50, bias=False)
        model.set_output_embeddings(head)
        assert model.get_output_embeddings().weight is head.weight
        assert difference(model(IDS).logits, head(model.transformer(IDS)[0])) < 1e-6
        model.tie_weights()
        assert model.get_output_embeddings().weight is embedding.weight
    for model in make_twins("BloomForTokenClassification"):
        assert model.get_output_embeddings() is None


def test_heads_and_embeddings_of_other_sizes(make_twins):
    ours, _ = make_twins()
    ours.set_input_embeddings(nn.Embedding(70, 24))
    assert ours.config.vocab_size == 70 and ours.transformer(torch.tensor([[69]]))[0].shape == (1, 1, 24)
    ours.set_output_embeddings(head := LinearLMHead(24, 70))
    assert ours.lm_head is head
    with pytest.raises(InputError, match="without bias"):
        ours.set_output_embeddings(nn.Linear(24, 70))
    with pytest.raises(InputError, match="language-modelling head"):
        BloomModel(BloomConfig(**FIELDS)).set_output_embeddings(head)


@pytest.mark.parametrize("saved", CLASSES)
@pytest.mark.parametrize("cls", ["BloomModel", "BloomForCausalLM"])
def test_state_dicts_with_and_without_the_prefix(make_twins, difference, saved, cls):
    _, theirs = make_twins(saved)
    ours = getattr(spacy_bloom, cls)(BloomConfig(**FIELDS)).eval()
    found = ours.load_state_dict(theirs.state_dict())
    assert not found.missing_keys and not found.unexpected_keys
    assert difference(ours.base_model(IDS)[0], theirs.base_model(IDS)[0]) < 1e-5


def test_state_dicts_that_lack_something(make_twins):
    ours, theirs = make_twins()
    state = theirs.state_dict()
    del state["transformer.ln_f.bias"]
    state["transformer.strange"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"(?s)ln_f.bias.*strange"):
        ours.load_state_dict(state)
    found = ours.load_state_dict(state, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["transformer.ln_f.bias"], ["transformer.strange"])


@pytest.mark.parametrize(
    "options", [None, {"use_reentrant": False}, {"use_reentrant": True}, {"preserve_rng_state": False}]
)
def test_gradient_checkpointing(make_twins, difference, options):
    losses, gradients = [], []
    for model in make_twins():
        model.train().gradient_checkpointing_enable(options)
        assert model.is_gradient_checkpointing
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        losses.append(loss)
        gradients.append(model.base_model.h[0].mlp.dense_h_to_4h.weight.grad)
        model.gradient_checkpointing_disable()
        assert not model.is_gradient_checkpointing
    assert difference(*losses) < 1e-5 and difference(*gradients) < 1e-5


def test_options_of_checkpointing_that_are_none():
    with pytest.raises(InputError, match="reentrant"):
        BloomModel(BloomConfig(**FIELDS)).gradient_checkpointing_enable({"reentrant": True})


def test_input_require_grads(make_twins):
    for model in make_twins():
        model.requires_grad_(False)
        assert not model(IDS).logits.requires_grad
        model.enable_input_require_grads()
        assert model(IDS).logits.requires_grad
        model.disable_input_require_grads()
        assert not model(IDS).logits.requires_grad


def test_random_weights():
    torch.manual_seed(0)
    for model in (
        BloomForCausalLM(BloomConfig(**FIELDS)),
        BloomForCausalLM._from_config(BloomConfig(**FIELDS)),
    ):
        weight = model.transformer.h[0].mlp.dense_h_to_4h.weight
        assert abs(weight.std() - 0.02) < 2e-3 and model.training and model.dtype == torch.float32
    half = BloomModel._from_config(BloomConfig(**FIELDS), torch_dtype="bfloat16", attn_implementation="eager")
    assert half.dtype == torch.bfloat16
    with pytest.raises(InputError, match="flash"):
        BloomModel._from_config(BloomConfig(**FIELDS), attn_implementation="flash_attention_2")

    class Tagger(BloomPreTrainedModel):
        """As people write heads of their own."""

        def __init__(self, config):
            super().__init__(config)
            self.transformer = BloomModel(config)
            self.out = nn.Linear(config.hidden_size, 3)
            self.post_init()

    tagger = Tagger(BloomConfig(**FIELDS, initializer_range=0.5))
    assert tagger.out.bias.abs().sum() == 0 and abs(tagger.out.weight.std() - 0.5) < 0.15
    assert tagger.base_model is tagger.transformer and not tagger.can_generate()


def test_copies_and_pickles(make_twins, difference):
    ours, _ = make_twins()
    expected = ours(IDS).logits
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert other.lm_head.weight is other.transformer.word_embeddings.weight
        assert other.config == ours.config and other.config is not ours.config
        assert other.config is other.transformer.config
        assert torch.equal(other(IDS).logits, expected)
        with torch.no_grad():
            other.transformer.ln_f.weight.zero_()
    assert torch.equal(ours(IDS).logits, expected)


def test_a_loss_of_ones_own(make_twins, difference):
    ours, theirs = make_twins()
    assert (
        difference(
            ours.loss_function(ours(IDS).logits, IDS, vocab_size=50),
            theirs.loss_function(theirs(IDS).logits, IDS, vocab_size=50),
        )
        < 1e-5
    )
    for model in (ours, theirs):
        model.loss_function = lambda logits, labels, **options: logits.sum() * 0 + 5
        assert model(IDS, labels=IDS).loss == 5
