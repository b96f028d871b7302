"""Maps of the CPU and the files, which need no GPU; what is done for several is compared on the meta device."""

import pytest
import torch

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.bloom.block import BloomBlock
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.bloom.linear import is_plain
from spacy_bloom.bloom.views import PackedView, PaddedView
from spacy_bloom.errors import InputError
from spacy_bloom.generation.scoring import surprisal
from spacy_bloom.parallel.devices import view_on
from spacy_bloom.quantization.quantize import quantize

accelerate = pytest.importorskip(
    "accelerate", reason="accelerate is not installed: pip install spacy-bloom[accelerate]"
)
IDS = torch.randint(3, 80, (2, 9), generator=torch.Generator().manual_seed(0))
META = torch.device("meta")
REST = {
    "transformer.word_embeddings": "cpu",
    "transformer.word_embeddings_layernorm": "cpu",
    "transformer.ln_f": "cpu",
}
MAPS = {
    "blocks": {
        **REST,
        "lm_head": "cpu",
        "transformer.h.0": "cpu",
        "transformer.h.1": "disk",
        "transformer.h.2": "disk",
    },
    "all in the files": {"": "disk"},
    "head in the files": {"transformer": "cpu", "lm_head": "disk"},
    "decoder in the files": {"transformer": "disk", "lm_head": "cpu"},
    "one device": "cpu",
    "auto": "auto",
}


@pytest.fixture(scope="module", params=["tied", "untied"])
def path(request, tmp_path_factory, randomize):
    folder = tmp_path_factory.mktemp(request.param)
    config = BloomConfig(
        n_head=4, hidden_size=32, n_layer=3, vocab_size=83, tie_word_embeddings=request.param == "tied"
    )
    randomize(BloomForCausalLM(config)).save_pretrained(folder)
    return folder


@torch.no_grad()
def results(model):
    ids = IDS.flatten()
    steps = [
        [s.pieces for s in model.generate_stream(IDS.tolist(), max_new_tokens=5, eos_token_id=None, **way)]
        for way in ({}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 2})
    ]
    states = model.transformer.encode_packed(ids, [4, 14])
    return {
        "logits": model(IDS).logits,
        "states": states,
        "of pieces": model.lm_head.logits(states, pieces=torch.tensor([3, 8])),
        "surprisal": torch.tensor(surprisal(model, IDS.tolist()))[:, 1:],
    }, steps


@pytest.mark.parametrize("name", MAPS)
def test_every_map_gives_the_same(path, name, difference):
    expected, steps = results(BloomForCausalLM.from_pretrained(path))
    model = BloomForCausalLM.from_pretrained(path, device_map=MAPS[name])
    found, own = results(model)
    for key, value in expected.items():
        assert difference(found[key], value) < 1e-6, key
    assert own == steps
    assert model.device == torch.device("cpu") and isinstance(model, BloomForCausalLM)
    if name != "one device":
        assert {str(device) for device in model.hf_device_map.values()} <= {"cpu", "disk"}


def test_what_is_in_the_files_takes_no_memory(path):
    model = BloomModel.from_pretrained(path, device_map={"": "disk"})
    assert all(weight.is_meta for weight in model.parameters())
    model.encode_packed(IDS[0], [9])
    assert all(weight.is_meta for weight in model.parameters())


def test_auto_keeps_to_the_memory(path, difference):
    whole = BloomForCausalLM.from_pretrained(path, dtype="bfloat16")
    size = sum(weight.nbytes for weight in whole.parameters())
    # What does not fit stays in the files, as float32, and is converted block by block.
    model = BloomForCausalLM.from_pretrained(
        path, dtype="bfloat16", device_map="auto", max_memory={"cpu": size * 9 // 10}
    )
    held = sum(weight.nbytes for weight in model.parameters() if not weight.is_meta)
    assert 0 < held < size * 9 // 10
    assert model.dtype == torch.bfloat16
    with torch.no_grad():
        assert difference(model(IDS).logits, whole(IDS).logits) == 0.0


def test_a_placed_model_is_saved_whole(path, tmp_path):
    whole = BloomForCausalLM.from_pretrained(path)
    BloomForCausalLM.from_pretrained(path, device_map=MAPS["blocks"]).save_pretrained(tmp_path)
    again = BloomForCausalLM.from_pretrained(tmp_path)
    assert again.config.to_dict()["architectures"] == ["BloomForCausalLM"]
    for name, weight in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_a_new_head_is_not_looked_for_in_the_files(path, difference):
    models = []
    for device_map in (None, {"": "disk"}):
        torch.manual_seed(0)
        with pytest.warns(UserWarning, match="random"):
            models.append(BloomForTokenClassification.from_pretrained(path, device_map=device_map))
    with torch.no_grad():
        assert difference(models[1](IDS).logits, models[0](IDS).logits) < 1e-6


@pytest.mark.parametrize(
    "device_map, message",
    [
        ({"transformer": "disk"}, "got none for lm_head"),
        ({"": "cpu", "transformer.h.1.mlp": "disk"}, "whole blocks"),
        ({"": "cpu", "transformer.h.7": "disk"}, "transformer.h.7"),
    ],
)
def test_maps_that_fit_no_model(tmp_path, randomize, device_map, message):
    config = BloomConfig(n_head=2, hidden_size=8, n_layer=2, vocab_size=20, tie_word_embeddings=False)
    randomize(BloomForCausalLM(config)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=message):
        BloomForCausalLM.from_pretrained(tmp_path, device_map=device_map)


def test_what_a_placed_model_cannot_do(path, tmp_path):
    model = BloomForCausalLM.from_pretrained(path, device_map={"": "disk"})
    with pytest.raises(InputError, match="only predicts"):
        model.train()
    quantize(BloomForCausalLM.from_pretrained(path)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="quantised"):
        BloomForCausalLM.from_pretrained(tmp_path, device_map="auto")
    with pytest.raises(InputError, match="placement and device_map"):
        BloomForCausalLM.from_pretrained(path, device_map="auto", placement=lambda name, shape: None)


def test_a_layer_with_accelerates_hook_is_called(path):
    # As accelerate does it by itself: weights come with each layer, not with its block.
    whole = BloomForCausalLM.from_pretrained(path)
    assert is_plain(whole.transformer.h[0].mlp.dense_4h_to_h)
    with torch.no_grad():
        expected = whole(IDS).logits
        accelerate.cpu_offload(whole, execution_device="cpu")
        assert not is_plain(whole.transformer.h[0].mlp.dense_4h_to_h)
        assert torch.allclose(whole(IDS).logits, expected, atol=1e-6)


@pytest.mark.parametrize(
    "view",
    [
        PackedView([5, 3, 4, 9], torch.ones(2), causal_layers=1),
        PaddedView(torch.ones(2, 4, dtype=torch.long), 4, torch.ones(2), KeyValueCache(3)),
    ],
)
def test_a_view_moves_with_its_tensors(view):
    def devices(value):
        if isinstance(value, torch.Tensor):
            yield value.device.type
        elif isinstance(value, (list, tuple)):
            yield from (device for part in value for device in devices(part))
        elif hasattr(value, "__dict__") and not isinstance(value, KeyValueCache):
            yield from devices([part for name, part in vars(value).items() if name != "_on"])

    moved = view_on(view, META)
    assert set(devices(moved)) == {"meta"} and set(devices(view)) == {"cpu"}
    assert view_on(view, META) is moved
    assert getattr(moved, "cache", None) is getattr(view, "cache", None)
    block = BloomBlock(BloomConfig(n_head=2, hidden_size=8, n_layer=3, vocab_size=9), 2).to(META)
    pieces = (21, 8) if isinstance(view, PackedView) else (2, 4, 8)
    if isinstance(view, PaddedView):
        moved.cache = None
    with torch.no_grad():
        assert block(torch.ones(pieces, device=META), moved).shape == pieces
