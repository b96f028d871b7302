import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import spacy_bloom
from spacy_bloom import (
    BloomConfig,
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
)
from spacy_bloom.errors import BloomWarning, CheckpointError, InputError

CLASSES = {
    cls.__name__: cls
    for cls in (
        BloomModel,
        BloomForCausalLM,
        BloomForQuestionAnswering,
        BloomForSequenceClassification,
        BloomForTokenClassification,
    )
}
IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 3, 2, 11, 40]])


def lora(r=3, **options):
    targets = ["query_key_value", "dense"]
    return peft.LoraConfig(r=r, target_modules=targets, init_lora_weights=False, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, randomize):
    """Checkpoints of all classes, and beside each two adapters that transformers saved."""
    root = tmp_path_factory.mktemp("adapters")
    config = BloomConfig(vocab_size=61, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3, num_labels=5)
    for name, cls in CLASSES.items():
        randomize(cls(config.replace())).save_pretrained(root / name)
        for seed, adapter in enumerate(("one", "two")):
            torch.manual_seed(seed)
            theirs = getattr(transformers, name).from_pretrained(root / name)
            theirs.add_adapter(lora(r=3 + seed), adapter)
            theirs.save_pretrained(root / f"{name}-{adapter}")
    return root


def both(folder, name):
    return [
        getattr(library, name).from_pretrained(folder / name).eval()
        for library in (transformers, spacy_bloom)
    ]


def numbers(model):
    with torch.no_grad():
        return model(IDS)[0]


def expect_same(theirs, ours):
    torch.testing.assert_close(numbers(ours), numbers(theirs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_does_what_it_does_in_transformers(folder, name):
    theirs, ours = both(folder, name)
    plain = numbers(ours)
    seen = []
    for model in (theirs, ours):
        for adapter in ("one", "two"):
            model.load_adapter(str(folder / f"{name}-{adapter}"), adapter)
        seen.append([])
        for step in (
            lambda m: None,
            lambda m: m.set_adapter("two"),
            lambda m: m.disable_adapters(),
            lambda m: m.enable_adapters(),
            lambda m: m.set_adapter(["one", "two"]),
            lambda m: m.delete_adapter("two"),
        ):
            step(model)
            with pytest.warns(FutureWarning):
                active = model.active_adapter()
            seen[-1].append((numbers(model), model.active_adapters(), active, sorted(model.peft_config)))
    for (expected, *names), (got, *own_names) in zip(*seen, strict=True):
        assert own_names == names
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert len({got.sum().item() for got, *_ in seen[1]}) == 4  # one, two, neither, both
    learn = [sorted(n for n, p in model.named_parameters() if p.requires_grad) for model in (theirs, ours)]
    assert learn[0] == learn[1]
    ours.delete_adapter(["one"])
    assert torch.equal(numbers(ours), plain) and not hasattr(ours, "peft_config")
    fresh = CLASSES[name].from_pretrained(folder / name)
    assert fresh.state_dict().keys() == ours.state_dict().keys()


@pytest.mark.parametrize("name", ["BloomForCausalLM", "BloomModel"])
@pytest.mark.parametrize("form", [True, False])
def test_it_is_saved_as_transformers_saves_it(folder, tmp_path, name, form):
    files = []
    for model, place in zip(both(folder, name), ("theirs", "ours"), strict=True):
        model.load_adapter(folder / f"{name}-two", "two", is_trainable=True)
        model.save_pretrained(tmp_path / place, save_peft_format=form)
        files.append({path.name for path in (tmp_path / place).iterdir()} - {"generation_config.json"})
    assert files[1] == {"adapter_config.json", "adapter_model.safetensors"} == files[0] - {"README.md"}
    configs = [json.loads((tmp_path / p / "adapter_config.json").read_text()) for p in ("theirs", "ours")]
    for config in configs:
        config["target_modules"] = set(config["target_modules"])
    assert configs[0] == configs[1]
    theirs, ours = (load_file(tmp_path / place / "adapter_model.safetensors") for place in ("theirs", "ours"))
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[key], ours[key]) for key in theirs)
    again = [*both(folder, name)]
    for model, place in zip(again, ("ours", "theirs"), strict=True):
        model.load_adapter(str(tmp_path / place))
    expect_same(*again)


def test_a_new_one_learns_alone(folder):
    grads = []
    for model in both(folder, "BloomForCausalLM"):
        torch.manual_seed(0)
        model.add_adapter(lora(use_dora=True))
        assert model.active_adapters() == ["default"] and not model.training
        model(IDS, labels=IDS).loss.backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        assert all("lora_" in n for n in grads[-1]) and len(grads[-1]) == 12
        state = model.get_adapter_state_dict()
        assert state.keys() == model.get_adapter_state_dict("default", model.state_dict()).keys()
    assert grads[0].keys() == grads[1].keys()
    for n, grad in grads[0].items():
        torch.testing.assert_close(grads[1][n], grad, rtol=1e-4, atol=1e-6)


def test_settings_and_weights_of_the_callers(folder):
    weights = load_file(folder / "BloomForCausalLM-one" / "adapter_model.safetensors")
    models = both(folder, "BloomForCausalLM")
    for model in models:
        model.load_adapter(peft_config=lora(), adapter_state_dict=weights)
    expect_same(*models)
    models = both(folder, "BloomForCausalLM")
    strange = {name.replace("transformer.h.", "blocks-"): value for name, value in weights.items()}
    mapping = {"key_mapping": {r"^blocks-": "transformer.h."}}
    for model in models:
        model.load_adapter(peft_config=lora(), adapter_state_dict=strange, adapter_kwargs=dict(mapping))
    expect_same(*models)


def test_a_head_that_is_saved_with_it(folder, tmp_path):
    config = lora(modules_to_save=["score"])
    theirs, ours = both(folder, "BloomForSequenceClassification")
    theirs.add_adapter(config)
    with torch.no_grad():
        theirs.score.modules_to_save["default"].weight.add_(1.0)
    theirs.save_pretrained(tmp_path)
    plain = numbers(ours)
    ours.load_adapter(str(tmp_path))
    expect_same(theirs, ours)
    ours.disable_adapters()
    torch.testing.assert_close(numbers(ours), plain, rtol=1e-5, atol=1e-5)
    ours.enable_adapters()
    expect_same(theirs, ours)
    ours.delete_adapter("default")
    assert torch.equal(numbers(ours), plain) and isinstance(ours.score, torch.nn.Linear)


def test_names_without_the_prefix_fit_and_others_are_told(folder):
    theirs, ours = both(folder, "BloomModel")
    theirs.load_adapter(str(folder / "BloomModel-one"))
    weights = load_file(folder / "BloomModel-one" / "adapter_model.safetensors")
    weights["base_model.model.elsewhere.lora_A.weight"] = torch.zeros(1)
    with pytest.warns(BloomWarning, match=r"not read: \['elsewhere"):
        ours.load_adapter(peft_config=lora(), adapter_state_dict=weights)
    expect_same(theirs, ours)
    head = BloomForCausalLM.from_pretrained(folder / "BloomForCausalLM").eval()
    del weights["base_model.model.elsewhere.lora_A.weight"]
    head.load_adapter(peft_config=lora(), adapter_state_dict=weights)
    assert torch.equal(
        head.transformer.h[1].mlp.dense_4h_to_h.weight,
        BloomForCausalLM.from_pretrained(folder / "BloomForCausalLM")
        .transformer.h[1]
        .mlp.dense_4h_to_h.weight,
    )
    own = head.get_adapter_state_dict()
    assert all(torch.equal(own[f"transformer.{n}"], v) for n, v in ours.get_adapter_state_dict().items())


def test_what_does_not_fit_leaves_the_model_as_it_was(folder, tmp_path):
    model = BloomForCausalLM.from_pretrained(folder / "BloomForCausalLM").eval()
    plain, names = numbers(model), list(model.state_dict())
    weights = load_file(folder / "BloomForCausalLM-one" / "adapter_model.safetensors")
    few = dict(list(weights.items())[1:])
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "megatron_config": {"a": 1}, "megatron_core": "this"})
    )
    for error, match, call in [
        (CheckpointError, "missing: ", lambda m: m.load_adapter(peft_config=lora(), adapter_state_dict=few)),
        (CheckpointError, "size mismatch", lambda m: m.load_adapter(peft_config=lora(r=2), adapter_state_dict=weights)),
        (CheckpointError, "no code", lambda m: m.load_adapter(tmp_path)),
        (CheckpointError, "adapter of peft", lambda m: m.load_adapter(folder / "BloomModel")),
        (InputError, "peft_model_id", lambda m: m.load_adapter()),
        (InputError, "peft_config", lambda m: m.load_adapter(adapter_state_dict=weights)),
        (InputError, "PeftConfig, got dict", lambda m: m.add_adapter({"r": 3})),
        (InputError, "fit the model", lambda m: m.add_adapter(peft.LoraConfig(target_modules=["nowhere"]))),
        (InputError, "fit the model", lambda m: m.add_adapter(peft.PromptTuningConfig(num_virtual_tokens=3))),
        (InputError, "with adapters", lambda m: m.set_adapter("one")),
        (InputError, "with adapters", lambda m: m.active_adapters()),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            call(model)
        assert list(model.state_dict()) == names and torch.equal(numbers(model), plain), match
    model.add_adapter(lora())
    for match, call in [
        ("new adapter_name", lambda: model.add_adapter(lora())),
        ("new adapter_name", lambda: model.load_adapter(folder / "BloomForCausalLM-one")),
        ("among default; got other", lambda: model.set_adapter("other")),
        ("among default; got other", lambda: model.delete_adapter(["default", "other"])),
        ("among default; got other", lambda: model.get_adapter_state_dict("other")),
        ("fit the model", lambda: model.add_adapter(peft.LoraConfig(target_modules=["nowhere"]), "second")),
    ]:
        with pytest.raises(InputError, match=match):
            call()
        assert list(model.peft_config) == ["default"]
    model.add_adapter(lora(), "second")
    model.set_adapter(["default", "second"])
    with pytest.raises(InputError, match="one by one"):
        model.save_pretrained(tmp_path / "two")
