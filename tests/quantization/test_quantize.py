import copy

import pytest
import torch

from spacy_bloom import (
    BloomConfig,
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
)
from spacy_bloom.checkpoint.quantized import quantization_method
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.quantization.kernels import FULL, activation_range
from spacy_bloom.quantization.layers import Int8Embedding, Int8Linear, Int8LMHead
from spacy_bloom.quantization.quantize import Int8Settings, quantize, quantized_frame

CLASSES = [
    BloomModel,
    BloomForCausalLM,
    BloomForTokenClassification,
    BloomForSequenceClassification,
    BloomForQuestionAnswering,
]


OUTLIERS = torch.tensor([5, 17, 40])


def make(kind=BloomForCausalLM, *, outliers=False, seed=0, **changes):
    torch.manual_seed(seed)
    fields = dict(vocab_size=120, hidden_size=64, n_layer=3, n_head=4) | changes
    model = kind(BloomConfig(**fields)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and ".h." in f".{name}":
                parameter.normal_(
                    std=parameter.shape[1] ** -0.5
                )  # so that blocks say as much as the embedding
        if outliers:  # a few hidden features 20 to 60 times as large as the rest from the first block on
            bias = getattr(model, "transformer", model).h[0].mlp.dense_4h_to_h.bias
            bias[OUTLIERS] = torch.tensor([20.0, -40.0, 60.0])
    return model


def states(model, ids):
    return getattr(model, "transformer", model).encode_packed(ids, [len(ids)])


IDS = torch.randint(120, (70,), generator=torch.Generator().manual_seed(3))


def relative(found, exact):
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("kind", CLASSES)
def test_hidden_states_stay_near_floats(kind):
    model = make(kind)
    with torch.no_grad():
        exact = states(model, IDS)
        quantize(model)
        assert relative(states(model, IDS), exact) < (0.02 if activation_range() == FULL else 0.03)
    decoder = getattr(model, "transformer", model)
    assert isinstance(decoder.h[0].mlp.dense_4h_to_h, Int8Linear)
    assert isinstance(decoder.word_embeddings, Int8Embedding)
    assert model.dtype == torch.float32 and quantization_method(model.config) == "int8"


def test_outlier_features_cost_less_than_a_hundredth():
    model = make(outliers=True, hidden_size=256, n_layer=6)
    without = copy.deepcopy(model)
    rest = torch.ones(256, dtype=torch.bool)
    rest[OUTLIERS] = False
    with torch.no_grad():
        exact = states(model, IDS)
        quantize(model)
        quantize(without, Int8Settings(max_float_share=0.0))
        assert relative(states(model, IDS), exact) < 0.01
        # What the outliers would cost the other features.
        with_columns = relative(states(model, IDS)[:, rest], exact[:, rest])
        assert with_columns < (0.015 if activation_range() == FULL else 0.022)
        assert relative(states(without, IDS)[:, rest], exact[:, rest]) > 1.4 * with_columns
    columns = model.config.extra["quantization"]["float_columns"]
    assert set(OUTLIERS.tolist()) <= set(columns["h.1.mlp.dense_h_to_4h"])


def test_a_text_can_say_where_outliers_are():
    model = make(outliers=True)
    quantize(model, input_ids=IDS)
    assert model.config.extra["quantization"]["float_columns"]


def test_padded_packed_and_cached_agree():
    model = quantize(make(outliers=True))
    with torch.no_grad():
        packed = model.lm_head(states(model, IDS[:20]))
        padded = torch.cat([torch.zeros(5, dtype=torch.long), IDS[:20]])[None]
        mask = torch.ones_like(padded)
        mask[:, :5] = 0
        assert (model(padded, attention_mask=mask).logits[0, 5:] - packed).abs().max() < 1e-4
        first = model(IDS[None, :12], use_cache=True)
        rest = model(IDS[None, 12:20], past_key_values=first.past_key_values)
        assert (rest.logits[0] - packed[12:]).abs().max() < 1e-4


def test_generates_as_it_scores():
    model = quantize(make())
    ids = model.generate(IDS[None, :6], max_new_tokens=5)
    with torch.no_grad():
        logits = model(ids).logits[0]
    assert ids[0, 6:].tolist() == logits[5:-1].argmax(dim=-1).tolist()


def test_an_untied_head_has_integers_of_its_own():
    model = quantize(make(tie_word_embeddings=False))
    assert isinstance(model.lm_head, Int8LMHead)
    assert model.lm_head.weight is not model.transformer.word_embeddings.weight


@pytest.mark.parametrize("tied", [True, False])
def test_a_frame_takes_the_weights_back(tied):
    model = quantize(make(outliers=True, tie_word_embeddings=tied))
    with torch.device("meta"):
        frame = quantized_frame(BloomForCausalLM(model.config))
    assert {n: p.shape for n, p in frame.named_parameters()} == {
        n: p.shape for n, p in model.named_parameters()
    }
    frame.load_state_dict(model.state_dict(), assign=True)
    frame.tie_weights() if tied else None
    with torch.no_grad():
        assert torch.equal(frame.eval()(IDS[None]).logits, model(IDS[None]).logits)


def test_the_config_survives_json():
    config = quantize(make(outliers=True)).config
    again = BloomConfig.from_dict(__import__("json").loads(config.to_json_string()))
    assert again == config and quantization_method(again) == "int8"


def test_quantised_models_are_not_quantised_again():
    with pytest.raises(InputError, match="quantised already"):
        quantize(quantize(make()))


@pytest.mark.parametrize(
    "entry",
    [
        {"method": "int8", "float_columns": [1]},
        {"method": "int8", "float_columns": {"h.9.mlp.dense_h_to_4h": [1]}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": [64]}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": [-1]}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": [3, 3]}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": [True]}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": "12"}},
        {"method": "int8", "float_columns": {"h.0.mlp.dense_h_to_4h": []}},
    ],
)
def test_configs_that_say_something_else_are_refused(entry):
    model = make(quantization=entry)
    with pytest.raises(ConfigError, match="got"):
        quantized_frame(model)


def test_half_precision_becomes_int8_and_float32():
    model = make().half()
    quantize(model, input_ids=IDS)
    assert {p.dtype for p in model.parameters()} == {torch.int8, torch.float32}
