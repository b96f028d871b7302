import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import InputError
from spacy_bloom.generation.running import MIN_PREFIX, RunningRows, affordable_pieces
from spacy_bloom.quantization.half import HalfWeights


def whole(model, row):
    """Hidden states of a row computed at once."""
    return model.transformer(torch.tensor([row])).last_hidden_state[0]


@pytest.fixture
def running(language_model):
    with torch.inference_mode():
        yield RunningRows(language_model)


@pytest.mark.parametrize("lengths", [(5,), (9, 2, 14), (1, 1)])
@pytest.mark.parametrize("prefix", [0, MIN_PREFIX - 1, MIN_PREFIX, 30])
def test_prompts(running, language_model, difference, draw_prompts, lengths, prefix):
    start = draw_prompts(prefix, seed=7)[0]
    prompts = [start + rest for rest in draw_prompts(*lengths)]
    hidden = running.start(prompts)
    for row, prompt in zip(hidden, prompts, strict=True):
        assert difference(row, whole(language_model, prompt)[-1]) < 1e-5


def test_equal_prompts_share_all_but_the_last_piece(running, language_model, difference, draw_prompts):
    (prompt,) = draw_prompts(20)
    calls = []
    language_model.transformer.h[0].register_forward_pre_hook(lambda _, args: calls.append(args[0].shape[:2]))
    hidden = running.start([prompt] * 5)
    language_model.transformer.h[0]._forward_pre_hooks.clear()
    assert [tuple(shape) for shape in calls] == [(1, 19), (5, 1)]
    assert difference(hidden, whole(language_model, prompt)[-1].expand(5, -1)) < 1e-5


def test_a_way_of_feeding_taking_back_and_selecting(running, language_model, difference, draw_prompts):
    """Whatever is done to the rows, their states are those of a row computed at once."""
    rows = draw_prompts(4, 17, 1, 9)
    running.start(rows)
    generator = torch.Generator().manual_seed(1)
    for step in range(40):
        n_new = torch.randint(1, 5, (len(rows),), generator=generator).tolist()
        new = draw_prompts(*n_new, seed=100 + step)
        hidden = running.feed(new)
        rows = [row + more for row, more in zip(rows, new, strict=True)]
        for states, row, more in zip(hidden, rows, new, strict=True):
            assert difference(states[: len(more)], whole(language_model, row)[-len(more) :]) < 1e-5
        back = [int(torch.randint(0, n + 1, (), generator=generator)) for n in n_new]
        running.take_back(back)
        rows = [row[: len(row) - n] for row, n in zip(rows, back, strict=True)]
        assert running.mask.sum(dim=1).tolist() == list(map(len, rows))
        assert running.cache.length == running.mask.shape[1]
        if step % 10 == 9:
            order = torch.randint(0, len(rows), (3,), generator=generator)
            running.select(order)
            rows = [rows[i] for i in order.tolist()]


def test_what_was_taken_back_does_not_pile_up(running, draw_prompts):
    running.start(draw_prompts(10, 10))
    for step in range(30):
        running.feed(draw_prompts(5, 5, seed=step))
        running.take_back([5, 4] if step % 2 else [4, 5])  # 15 pieces stay of each
        assert running.cache.length <= 2 * 25


def test_the_longest_row_takes_its_padding_along(running, draw_prompts):
    running.start(draw_prompts(300, 3, 4))
    running.select(torch.tensor([1, 2]))
    assert running.cache.length == 4


@pytest.mark.parametrize("prompts", [[], [[]], [[5, 6], []]])
def test_nothing_to_begin_with(running, prompts):
    with pytest.raises(InputError, match="at least one piece"):
        running.start(prompts)


@pytest.mark.parametrize(
    "sizes, expected", [({"hidden_size": 16, "n_layer": 2}, 2**26 // (2 * 2 * 16 * 4)), ({}, None)]
)
def test_keys_and_values_take_a_part_of_the_memory_of_the_weights(sizes, expected):
    with torch.device("meta"):
        model = BloomForCausalLM(BloomConfig(**sizes or {"hidden_size": 1024, "n_layer": 24, "n_head": 16}))
    pieces = affordable_pieces(model)
    if expected is None:
        n_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
        expected = int(0.05 * n_bytes / (2 * 24 * 1024 * 4))
    assert pieces == expected


def test_weights_in_16_bits_do_not_make_the_cache_smaller():
    config = BloomConfig(vocab_size=500, hidden_size=64, n_layer=2, n_head=4)
    model = BloomForCausalLM(config).eval()
    before = affordable_pieces(model)
    HalfWeights(torch.float16).quantize(model)
    output = model(torch.tensor([[1, 2]]), use_cache=True)
    assert output.past_key_values[0][0].dtype == torch.float32
    assert affordable_pieces(model) == before  # of the least memory, as both models are small
