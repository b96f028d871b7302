import copy

import pytest
import torch
import transformers

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.errors import InputError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=3, n_head=3)


@pytest.fixture(scope="module")
def model(randomize):
    return randomize(BloomModel(CONFIG)).eval()


def draw_ids(*shape, seed=0):
    return torch.randint(97, shape, generator=torch.Generator().manual_seed(seed))


def test_shapes(model):
    output = model(draw_ids(2, 7), output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (2, 7, 24)  # (batch, length, hidden_size)
    assert [tuple(state.shape) for state in output.hidden_states] == [(2, 7, 24)] * 4
    assert [tuple(weights.shape) for weights in output.attentions] == [(2, 3, 7, 7)] * 3
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert (len(output.past_key_values), output.past_key_values.length) == (3, 7)
    step = model(draw_ids(2, 2), past_key_values=output.past_key_values, output_attentions=True)
    assert step.last_hidden_state.shape == (2, 2, 24)
    assert step.attentions[0].shape == (2, 3, 2, 9)  # (batch, n_head, length, keys)
    assert model.encode_packed(draw_ids(9), [4, 5]).shape == (9, 24)
    assert [tuple(state.shape) for state in model.hidden_states_packed(draw_ids(9), [4, 5])] == [(9, 24)] * 4


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_nothing_to_encode(model, shape):
    assert model(draw_ids(*shape)).last_hidden_state.shape == (*shape, 24)


def test_nothing_to_encode_packed(model):
    assert model.encode_packed(draw_ids(0), []).shape == (0, 24)
    assert [tuple(state.shape) for state in model.hidden_states_packed(draw_ids(0), [])] == [(0, 24)] * 4


def test_what_was_not_asked_for_is_none(model):
    output = model(draw_ids(1, 3), use_cache=False)
    assert output.past_key_values is output.hidden_states is output.attentions is None


def test_the_config_sets_what_is_returned(model):
    asked = BloomModel(
        CONFIG.replace(output_hidden_states=True, output_attentions=True, use_cache=False)
    ).eval()
    output = asked(draw_ids(1, 3))
    assert len(output.hidden_states) == 4 and len(output.attentions) == 3 and output.past_key_values is None
    output = asked(draw_ids(1, 3), output_hidden_states=False, output_attentions=False, use_cache=True)
    assert output.hidden_states is output.attentions is None and output.past_key_values.length == 3


def test_embeddings_instead_of_ids(model):
    ids = draw_ids(2, 5)
    embeds = model.word_embeddings(ids)
    assert torch.equal(model(inputs_embeds=embeds).last_hidden_state, model(ids).last_hidden_state)


def test_asking_for_attentions_changes_nothing(model, difference):
    ids = draw_ids(2, 9)
    seen, unseen = (model(ids, output_attentions=flag).last_hidden_state for flag in (True, False))
    assert difference(seen, unseen) < 1e-5


@pytest.mark.parametrize("steps", [[1] * 9, [4, 5], [8, 1], [2, 3, 4]])
def test_cached_equals_whole(model, difference, steps):
    ids = draw_ids(2, 9)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    whole = model(ids, attention_mask=mask).last_hidden_state
    cache, states, done = None, [], 0
    for new in steps:
        part = slice(done, done + new)
        output = model(ids[:, part], attention_mask=mask[:, : done + new], past_key_values=cache)
        cache, done = output.past_key_values, done + new
        states.append(output.last_hidden_state)
    assert difference(torch.cat(states, 1)[mask.bool()], whole[mask.bool()]) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float32])
def test_masks_of_any_dtype(model, dtype):
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    expected = model(draw_ids(2, 3), attention_mask=mask).last_hidden_state
    assert torch.equal(model(draw_ids(2, 3), attention_mask=mask.to(dtype)).last_hidden_state, expected)


def gradients(model, **options):
    model.zero_grad()
    generator = torch.Generator().manual_seed(1)
    (
        model(draw_ids(2, 6), **options).last_hidden_state * torch.randn(2, 6, 24, generator=generator)
    ).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def packed_gradients(model):
    model.zero_grad()
    (model.encode_packed(draw_ids(12), [5, 7]) * torch.arange(24.0)).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("of", [gradients, packed_gradients])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_gives_the_same_gradients(randomize, of, dropout):
    config = CONFIG.replace(hidden_dropout=dropout, attention_dropout=dropout)
    model = randomize(BloomModel(config)).train()
    calls = []
    model.h[0].register_forward_pre_hook(lambda *args: calls.append(1) and None)
    results = []
    for enable in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        enable()
        torch.manual_seed(0)
        results.append(of(model))
    assert len(calls) == 3  # once without it, twice with it
    for name in results[0]:
        torch.testing.assert_close(results[1][name], results[0][name], rtol=0, atol=0)


def test_gradient_checkpointing_is_for_training_only(model):
    model = copy.deepcopy(model)
    model.gradient_checkpointing_enable()
    assert model(draw_ids(1, 3)).past_key_values.length == 3
    model.train()
    assert model(draw_ids(1, 3), use_cache=True).past_key_values is None
    with pytest.raises(InputError, match="gradient checkpointing"):
        model(draw_ids(1, 3), past_key_values=KeyValueCache(3))
    model.gradient_checkpointing_disable()
    assert model(draw_ids(1, 3), past_key_values=KeyValueCache(3)).past_key_values.length == 3


@pytest.mark.parametrize("of", [gradients, packed_gradients])
def test_autocast_stays_close_to_float32(model, difference, of):
    ids, expected = draw_ids(2, 6), of(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = of(model)
        with torch.no_grad():
            states = model(ids).last_hidden_state.float()
    with torch.no_grad():
        assert 0 < difference(states, model(ids).last_hidden_state) < 0.05
    for name, gradient in found.items():
        # The keys' bias has no gradient but rounding.
        assert name.endswith("query_key_value.bias") or difference(gradient, expected[name]) < 0.1, name


@pytest.mark.parametrize("name", ["hidden_dropout", "attention_dropout"])
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_changes_training_only(randomize, name, packed):
    model = randomize(BloomModel(CONFIG.replace(**{name: 0.2})))
    plain = randomize(BloomModel(CONFIG)).eval()

    def encode(model):
        return model.encode_packed(draw_ids(8), [8]) if packed else model(draw_ids(1, 8)).last_hidden_state

    model.eval()
    assert torch.equal(encode(model), encode(plain))
    model.train()
    torch.manual_seed(0)
    one, other = encode(model), encode(model)
    assert not torch.allclose(one, other)
    torch.manual_seed(0)
    assert torch.equal(encode(model), one)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close_to_float32(randomize, difference, dtype):
    full = randomize(BloomModel(CONFIG), std=0.1).eval()
    half = copy.deepcopy(full).to(dtype)
    ids, mask = draw_ids(2, 50), torch.ones(2, 50, dtype=torch.long)
    mask[0, :20] = 0
    with torch.no_grad():
        padded = half(ids, attention_mask=mask).last_hidden_state
        expected = full(ids, attention_mask=mask).last_hidden_state
        packed = half.encode_packed(ids[mask.bool()], [30, 50])
    assert padded.dtype == packed.dtype == dtype
    bound = 8 * torch.finfo(dtype).eps
    assert difference(padded.float()[mask.bool()], expected[mask.bool()]) < bound
    assert difference(packed.float(), expected[mask.bool()]) < bound


def test_bfloat16_is_no_further_from_float32_than_hugging_faces(randomize):
    fields = dict(vocab_size=97, hidden_size=32, n_layer=2, n_head=4)
    theirs = randomize(transformers.BloomModel(transformers.BloomConfig(**fields))).eval()
    ours = BloomModel(BloomConfig(**fields)).eval()
    ours.load_state_dict(theirs.state_dict())
    ids = draw_ids(1, 700)
    with torch.no_grad():
        expected = theirs(ids).last_hidden_state
        gaps = {
            name: (model.to(torch.bfloat16)(ids).last_hidden_state.float() - expected)[:, 300:]
            .abs()
            .mean()
            .item()
            for name, model in (("ours", ours), ("theirs", theirs))
        }
    assert gaps["ours"] <= gaps["theirs"], gaps


@pytest.mark.parametrize("cls", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
def test_random_weights_have_the_range_of_the_config(cls):
    config = BloomConfig(vocab_size=500, hidden_size=64, n_layer=1, n_head=4, initializer_range=0.3)
    torch.manual_seed(0)
    model = cls(config)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            assert abs(parameter.std().item() / 0.3 - 1) < 0.15, name
        else:
            expected = float("layernorm" in name or "ln_f" in name) if name.endswith("weight") else 0.0
            assert (parameter == expected).all(), name
    torch.manual_seed(0)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), cls(config).parameters(), strict=True))


def test_what_a_model_says_of_itself(randomize):
    model = BloomForCausalLM(CONFIG)
    theirs = transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=97, hidden_size=24, n_layer=3, n_head=3)
    )
    assert model.num_parameters() == theirs.num_parameters()
    assert BloomForCausalLM(CONFIG.replace(tie_word_embeddings=False)).num_parameters() == (
        theirs.num_parameters() + 97 * 24
    )
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.to(torch.float16).dtype == torch.float16


IDS = draw_ids(2, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(), "exactly one"),
        (dict(input_ids=IDS, inputs_embeds=torch.zeros(2, 3, 24)), "exactly one"),
        (dict(input_ids=IDS[0]), r"\(batch, length\).*got \(3,\)"),
        (dict(input_ids=IDS[None]), r"got \(1, 2, 3\)"),
        (dict(input_ids=IDS.float()), "int64 or int32"),
        (dict(inputs_embeds=torch.zeros(2, 3, 25)), r"24\), got \(2, 3, 25\)"),
        (dict(inputs_embeds=torch.zeros(3, 24)), r"got \(3, 24\)"),
        (dict(input_ids=IDS + 97), "ids from 0 to 96"),
        (dict(input_ids=IDS - 98), "ids from 0 to 96"),
        (dict(input_ids=IDS, attention_mask=torch.ones(2, 4)), r"shape \(2, 3\)"),
        (dict(input_ids=IDS, attention_mask=torch.ones(3)), r"shape \(2, 3\)"),
        (dict(input_ids=IDS, past_key_values=KeyValueCache(2)), "3 blocks and 2 rows, got 2 blocks"),
    ],
)
def test_arguments_that_do_not_fit(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model(**arguments)


def test_a_cache_of_other_rows(model):
    cache = model(draw_ids(3, 4)).past_key_values
    with pytest.raises(InputError, match="3 blocks and 2 rows, got 3 blocks and 3 rows"):
        model(draw_ids(2, 1), past_key_values=cache)
    assert cache.length == 4
    with pytest.raises(InputError, match=r"shape \(3, 5\)"):
        model(draw_ids(3, 1), attention_mask=torch.ones(3, 1), past_key_values=cache)


@pytest.mark.parametrize(
    "ids, lengths",
    [(IDS, [3, 3]), (IDS[0], [2]), (IDS[0], []), (IDS[0], [3, 0]), (IDS[0], [4, -1]), (IDS[0] + 97, [3])],
)
def test_packed_arguments_that_do_not_fit(model, ids, lengths):
    with pytest.raises(InputError):
        model.encode_packed(ids, lengths)


@pytest.mark.parametrize("lowest", [0, 1, 2])
def test_nothing_below_what_learns_is_recorded(randomize, lowest):
    """Blocks below run as in prediction, and the gradients above are those of the whole."""
    model = randomize(BloomModel(CONFIG)).train()
    model.encode_packed(draw_ids(9), [4, 5]).square().sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    recorded = []
    for block in model.h:
        block.register_forward_pre_hook(lambda *_: recorded.append(torch.is_grad_enabled()))
    for name, parameter in model.named_parameters():
        parameter.grad = None
        block = int(name.split(".")[1]) if name.startswith("h.") else 0 if name.startswith("word") else 3
        parameter.requires_grad_(block >= lowest and not name.startswith("word"))
    model.encode_packed(draw_ids(9), [4, 5]).square().sum().backward()
    assert recorded == [i >= lowest for i in range(3)]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-4, rtol=1e-4)
        else:
            assert parameter.grad is None


def test_a_tracer_leaves_nothing_behind():
    """Slopes are kept for every model of so many heads; those of a tracer would break the next one."""
    model = BloomModel(CONFIG.replace(n_head=12)).eval()
    ids = draw_ids(1, 5)
    program = torch.export.export(model, (ids,), strict=False)
    with torch.no_grad():
        expected = model(ids).last_hidden_state
        assert type(expected) is torch.Tensor
        torch.testing.assert_close(program.module()(ids).last_hidden_state, expected)
