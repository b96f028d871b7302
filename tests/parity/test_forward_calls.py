"""Calls of the forward pass as scripts for Hugging Face's classes write them, on both."""

import inspect

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig
from spacy_bloom.errors import InputError

CLASSES = (
    "BloomModel",
    "BloomForCausalLM",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomForQuestionAnswering",
)
HEADS = CLASSES[1:]
FIELDS = dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, num_labels=5, pad_token_id=3)
IDS = torch.randint(4, 97, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def twins(randomize):
    made = {}
    for cls in CLASSES:
        theirs = randomize(getattr(transformers, cls)(transformers.BloomConfig(**FIELDS))).eval()
        ours = getattr(spacy_bloom, cls)(BloomConfig(**FIELDS)).eval()
        ours.load_state_dict(theirs.state_dict())
        made[cls] = ours, theirs
    return made


def labels_of(cls):
    if cls == "BloomForQuestionAnswering":
        return dict(start_positions=torch.tensor([1, 2]), end_positions=torch.tensor([3, 4]))
    shapes = {"BloomModel": None, "BloomForSequenceClassification": (2,)}
    shape = shapes.get(cls, (2, 7))
    return (
        {}
        if shape is None
        else {"labels": torch.randint(5, shape, generator=torch.Generator().manual_seed(1))}
    )


def assert_same(ours, theirs, difference):
    assert type(ours).__name__ == type(theirs).__name__ or hasattr(ours, "get_seq_length")
    if isinstance(theirs, torch.Tensor):
        assert difference(ours, theirs) < 1e-5
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name in theirs:
            assert_same(ours[name], theirs[name], difference)
    else:
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other, difference)


@pytest.mark.parametrize("cls", CLASSES)
def test_names_and_places_of_arguments(cls):
    ours, theirs = (
        inspect.signature(getattr(room, cls).forward).parameters.values()
        for room in (spacy_bloom, transformers)
    )
    own = [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY]
    assert own == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [
    {},
    dict(return_dict=False),
    dict(output_hidden_states=True, output_attentions=True),
    dict(output_hidden_states=True, output_attentions=True, return_dict=False),
    dict(use_cache=False),
    dict(use_cache=False, return_dict=False),
])  # fmt: skip
def test_what_comes_back(twins, difference, cls, training, options):
    if cls == "BloomForQuestionAnswering":
        options = {name: value for name, value in options.items() if name != "use_cache"}
    for labels in ({}, labels_of(cls)):
        results = [model.train(training)(IDS, **labels, **options) for model in twins[cls]]
        assert_same(*results, difference)
        if options.get("return_dict", True):
            assert results[0].keys() == results[1].keys() and len(results[0]) == len(results[1])


@pytest.mark.parametrize("cls", CLASSES)
def test_arguments_by_position(twins, difference, cls):
    mask = torch.tensor([[1] * 7, [0] * 2 + [1] * 5])
    ids = IDS.masked_fill(mask == 0, 3)
    for args in (
        (ids, mask) if cls == "BloomForQuestionAnswering" else (ids, None, mask),
        (ids, mask, None, None, None, *labels_of(cls).values())
        if cls == "BloomForQuestionAnswering"
        else (ids, None, mask, None, None, *(labels_of(cls) or {"use_cache": True}).values()),
    ):
        ours, theirs = (model.eval()(*args) for model in twins[cls])
        real = mask.bool()
        for name in theirs:
            if name != "past_key_values":
                mine, other = ours[name], theirs[name]
                per_piece = mine.shape[:2] == real.shape
                assert (
                    difference(mine[real] if per_piece else mine, other[real] if per_piece else other) < 1e-5
                )


@pytest.mark.parametrize("cls", ["BloomForCausalLM"])
@pytest.mark.parametrize("items", [3, torch.tensor(17)])
def test_num_items_in_batch(twins, difference, cls, items):
    ours, theirs = (model(IDS, **labels_of(cls), num_items_in_batch=items).loss for model in twins[cls])
    assert difference(ours, theirs) < 1e-5


def test_num_items_in_batch_of_the_other_heads(twins, difference):
    """There it is an error, although their Trainer passes it; of all labels in one batch it changes nothing."""
    for cls, items in (("BloomForSequenceClassification", 2), ("BloomForTokenClassification", 14)):
        model, labels = twins[cls][0], labels_of(cls)
        assert (
            difference(model(IDS, **labels, num_items_in_batch=items).loss, model(IDS, **labels).loss) < 1e-6
        )
    model = twins["BloomForSequenceClassification"][0]
    model.config.problem_type = None  # the labels of the first call have set it, as there
    labels = torch.rand(2, 5)
    whole = model(IDS, labels=labels).loss
    assert difference(model(IDS, labels=labels, num_items_in_batch=5).loss, 2 * whole) < 1e-6


@pytest.mark.parametrize("cls", CLASSES)
def test_what_both_refuse(twins, cls):
    for model in twins[cls]:
        with pytest.raises((ValueError, TypeError), match=r"unexpected|both|one of"):
            model(IDS, token_type_ids=IDS)
        with pytest.raises(ValueError, match="exactly one of"):
            model(IDS, inputs_embeds=torch.zeros(2, 7, 24))
        with pytest.raises(ValueError, match="exactly one of"):
            model()
    with pytest.raises(InputError, match="head_mask"):
        twins[cls][0](IDS, head_mask=torch.ones(2, 3))


@pytest.mark.parametrize("cls", CLASSES)
def test_positions_are_warned_of(twins, cls):
    for model in twins[cls]:
        with pytest.warns(FutureWarning, match="position_ids"):
            model(IDS, position_ids=torch.arange(7)[None])


def test_steps_with_cache_position(twins, difference):
    ours, theirs = twins["BloomForCausalLM"]
    caches = [None, transformers.DynamicCache()]
    for part, position in ((IDS[:, :4], torch.arange(4)), (IDS[:, 4:], torch.arange(4, 7))):
        outputs = [
            model(part, past_key_values=cache, use_cache=True, cache_position=position)
            for model, cache in zip((ours, theirs), caches, strict=True)
        ]
        caches = [output.past_key_values for output in outputs]
        assert difference(outputs[0].logits, outputs[1].logits) < 1e-5
    with pytest.raises(InputError, match="from 7 to 7"):
        ours(IDS[:, :1], past_key_values=caches[0], cache_position=torch.tensor([3]))
