import json
import shutil
import warnings
from dataclasses import replace

import numpy
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from thinc.api import Adam

from spacy_bloom import BloomForCausalLM
from spacy_bloom.conversion.convert import plan_conversion
from spacy_bloom.errors import BloomWarning, CheckpointError, InputError
from spacy_bloom.finetuning.learning import LearningSettings
from spacy_bloom.finetuning.lora import LoraSettings, has_lora
from spacy_bloom.thinc_layers.language_model import LanguageModelShim
from spacy_bloom.thinc_layers.weights.settings import WeightSettings
from spacy_bloom.thinc_layers.weights.shim import BloomShim

IDS = torch.arange(3, 12)
CONFIG, WEIGHTS = "adapter/adapter_config.json", "adapter/adapter_model.safetensors"


def make(name, **learning):
    return BloomShim(WeightSettings(name), learning=LearningSettings(**learning))


def run(shim):
    return shim.predict((IDS, [4, 5])).numpy()


def train(shim, steps=3):
    optimizer = Adam(0.02)
    for _ in range(steps):
        hidden, backprop = shim.begin_update((IDS, [4, 5]))
        backprop(hidden.detach() * 0.1)
        shim.finish_update(optimizer)
    return shim


@pytest.fixture
def adapted(checkpoint):
    """Adapters that have learnt."""
    return train(make(checkpoint, lora=LoraSettings(r=3, targets=["query_key_value", "dense_4h_to_h"])))


def test_adapters_learn_and_weights_do_not(adapted, checkpoint):
    assert numpy.abs(run(adapted) - run(make(checkpoint))).max() > 1e-2
    before = dict(make(checkpoint).module.named_parameters())
    names = dict(adapted.module.named_parameters())
    kept = {name.replace(".base_layer", ""): w for name, w in names.items() if "lora" not in name}
    assert kept.keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in kept.items())


def test_disk(adapted, checkpoint, tmp_path):
    adapted.to_disk(tmp_path)
    loaded = make("no-such-checkpoint").from_disk(tmp_path)
    numpy.testing.assert_array_equal(run(loaded), run(adapted))
    assert (tmp_path / WEIGHTS).stat().st_size < 0.1 * (tmp_path / "model.safetensors").stat().st_size
    shutil.rmtree(tmp_path / "adapter")
    numpy.testing.assert_array_equal(run(make(checkpoint).from_disk(tmp_path)), run(make(checkpoint)))


def test_bytes(adapted):
    loaded = make("no-such-checkpoint").from_bytes(adapted.to_bytes())
    numpy.testing.assert_array_equal(run(loaded), run(adapted))
    assert loaded.to_bytes() == adapted.to_bytes()
    numpy.testing.assert_array_equal(run(train(loaded)), run(train(adapted)))


@pytest.mark.parametrize("way", ["disk", "bytes"])
def test_merged_on_request(adapted, tmp_path, way):
    expected = run(adapted)
    settings = adapted.lora
    adapted.to_disk(tmp_path)  # adapters that are there must not be added twice
    adapted.lora = LoraSettings(settings.r, settings.alpha, settings.dropout, settings.targets, merge=True)
    adapted.to_disk(tmp_path)
    loaded = make("no-such-checkpoint", lora=adapted.lora)
    loaded = loaded.from_disk(tmp_path) if way == "disk" else loaded.from_bytes(adapted.to_bytes())
    assert not has_lora(loaded.module)
    numpy.testing.assert_allclose(run(loaded), expected, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_array_equal(run(adapted), expected)
    assert numpy.abs(run(train(loaded)) - expected).max() > 1e-3


@pytest.mark.parametrize("lora", [None, LoraSettings(r=5)])
def test_adapters_of_what_was_read_before_are_forgotten(adapted, checkpoint, tmp_path, lora):
    adapted.to_disk(tmp_path / "adapted")
    shim = make("no-such-checkpoint", lora=lora).from_disk(tmp_path / "adapted")
    assert has_lora(shim.module) and shim.lora.r == 3
    shim.from_disk(checkpoint)
    assert not has_lora(shim.module) and shim.lora == lora
    assert has_lora(shim.from_bytes(adapted.to_bytes()).module) and shim.lora.r == 3
    shim.from_bytes(make(checkpoint).to_bytes())
    assert not has_lora(shim.module) and shim.lora == lora


def test_half_precision_on_disk_keeps_adapters_exact(adapted, checkpoint, tmp_path):
    adapted.weights = replace(adapted.weights, storage_dtype="float16")
    adapted.to_disk(tmp_path)
    assert {w.dtype for w in load_file(tmp_path / WEIGHTS).values()} == {torch.float32}
    numpy.testing.assert_allclose(run(make(checkpoint).from_disk(tmp_path)), run(adapted), atol=0.05)


def test_peft_reads_them(adapted, tmp_path):
    import peft

    adapted.to_disk(tmp_path)
    theirs = transformers.BloomModel.from_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = torch.cat([theirs(row[None]).last_hidden_state[0] for row in IDS.split([4, 5])])
    numpy.testing.assert_allclose(run(adapted), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_weights_stay_shared_while_adapters_learn(checkpoint, tmp_path):
    """Before and after, and of a pipeline that was saved; other components keep the checkpoint's output."""
    reader = LanguageModelShim(WeightSettings(checkpoint))
    shim = make(checkpoint, lora=LoraSettings())
    shim.load()
    before = reader.module.transformer.encode_packed(IDS, [4, 5]).detach().clone()
    train(shim)
    later = LanguageModelShim(WeightSettings(checkpoint))

    def places(module):
        return {w.data_ptr() for name, w in module.named_parameters() if "lora" not in name}

    assert places(shim.module) == places(reader.module) == places(later.module)
    assert torch.equal(reader.module.transformer.encode_packed(IDS, [4, 5]), before)
    shim.to_disk(tmp_path)
    loaded, loaded_reader = make(str(tmp_path)), LanguageModelShim(WeightSettings(str(tmp_path)))
    with pytest.warns(BloomWarning, match="not read"):
        loaded_reader.load()
    assert places(loaded.module) == places(loaded_reader.module)
    assert has_lora(loaded.module) and not has_lora(loaded_reader.module)


def change_config(path, **changes):
    file = path / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_weights(path, change):
    weights = load_file(path / WEIGHTS)
    change(weights)
    save_file(weights, path / WEIGHTS)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 10\n"
NAME = "base_model.model.h.0.mlp.dense_4h_to_h.lora_A.weight"
DAMAGES = {
    "a huge rank": (lambda p: change_config(p, r=10**12), "misshapen"),
    "another rank": (lambda p: change_config(p, r=4), "misshapen"),
    "other targets": (lambda p: change_config(p, target_modules=["dense"]), "missing"),
    "another layer": (lambda p: change_config(p, target_modules=["word_embeddings"]), "settings of adapters"),
    "no rank": (lambda p: change_config(p, r="8"), "settings of adapters"),
    "another kind": (lambda p: change_config(p, peft_type="IA3"), "plain LoRA"),
    "magnitudes": (lambda p: change_config(p, use_dora=True), r"plain LoRA.*\(use_dora\).*merge_and_unload"),
    "what nobody knows yet": (lambda p: change_config(p, use_new=[1]), r"plain LoRA.*\(use_new\)"),
    "changed weights": (lambda p: change_config(p, init_lora_weights="pissa"), r"\(init_lora_weights\)"),
    "biases": (lambda p: change_config(p, bias="all"), "without biases"),
    "scales of some": (
        lambda p: change_config(p, alpha_pattern={"dense": 2}),
        r"plain LoRA.*\(alpha_pattern\)",
    ),
    "a list": (lambda p: (p / CONFIG).write_text("[]"), "settings of adapters"),
    "no JSON": (lambda p: (p / CONFIG).write_text("{"), "is not JSON"),
    "a pointer": (lambda p: (p / WEIGHTS).write_text(POINTER), "git lfs pull"),
    "a pointer for a config": (lambda p: (p / CONFIG).write_text(POINTER), "git lfs pull"),
    "two": (lambda p: shutil.copy(p / CONFIG, p / "adapter_config.json"), "Got adapters in .* and in "),
    "two that differ": (
        lambda p: change_weights(p, lambda w: w.update({NAME: w[NAME] + 1})),
        "different adapters for h.0.mlp.dense_4h_to_h.lora_A.weight",
    ),
    "a missing weight": (lambda p: change_weights(p, lambda w: w.pop(NAME)), f"missing: {NAME}"),
    "one too many": (lambda p: change_weights(p, lambda w: w.update(x=torch.zeros(1))), "unexpected: x"),
    "no file": (lambda p: (p / WEIGHTS).unlink(), "no such file"),
    "a pickle": (lambda p: (p / WEIGHTS).write_bytes(b"\x80\x04N."), "not a safetensors file"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_adapters_are_refused(adapted, checkpoint, tmp_path, kind):
    adapted.to_disk(tmp_path)
    damage, message = DAMAGES[kind]
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        make(checkpoint).from_disk(tmp_path)


PEFT = {
    "alone": ("BloomModel", dict(target_modules=["query_key_value"])),
    "in a language model": ("BloomForCausalLM", dict(target_modules=["dense", "dense_4h_to_h"])),
    "a pattern": ("BloomForCausalLM", dict(target_modules=r".*\.(query_key_value|dense_h_to_4h)")),
    "all layers": ("BloomForCausalLM", dict(target_modules="all-linear")),
    "another scale": ("BloomForSequenceClassification", dict(target_modules=["dense"], use_rslora=True)),
    "a head beside": ("BloomForTokenClassification", dict(target_modules=["dense"], task_type="TOKEN_CLS")),
    "whole names": ("BloomModel", dict(target_modules=[f"h.{i}.self_attention.dense" for i in range(9)])),
}


@pytest.fixture
def trained(checkpoint, tmp_path):
    """A function that returns a folder with adapters of peft's, and the hidden states with them."""
    import peft

    def make(cls, settings):
        theirs = getattr(transformers, cls).from_pretrained(checkpoint)
        config = peft.LoraConfig(r=3, lora_alpha=5, init_lora_weights=False, **settings)
        model = peft.get_peft_model(theirs, config).eval()
        model.save_pretrained(tmp_path / "peft")
        decoder = model.base_model.model if cls == "BloomModel" else model.base_model.model.transformer
        with torch.no_grad():
            rows = [decoder(row[None]).last_hidden_state[0] for row in IDS.split([4, 5])]
        return tmp_path / "peft", torch.cat(rows).numpy()

    return make


def put(adapter, checkpoint, target, place):
    shutil.copytree(checkpoint, target)
    (target / place).mkdir(exist_ok=True)
    for file in adapter.glob("adapter_*"):
        shutil.copy(file, target / place / file.name)
    return target


@pytest.mark.filterwarnings("ignore:Some weights:UserWarning")
@pytest.mark.parametrize("place", [".", "adapter"])
@pytest.mark.parametrize("kind", PEFT)
def test_adapters_of_peft_are_read(checkpoint, trained, tmp_path, kind, place):
    adapter, expected = trained(*PEFT[kind])
    shim = make(put(adapter, checkpoint, tmp_path / "both", place))
    if kind == "a head beside":
        with pytest.warns(BloomWarning, match=r"weights of a head, which are not read: .*classifier"):
            shim.load()
    numpy.testing.assert_allclose(run(shim), expected, rtol=1e-5, atol=1e-5)
    shim.to_disk(tmp_path / "saved")
    numpy.testing.assert_array_equal(run(make(tmp_path / "saved")), run(shim))


def test_older_files_of_peft(checkpoint, trained, tmp_path):
    adapter, expected = trained(*PEFT["in a language model"])
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    shim = make(put(adapter, checkpoint, tmp_path / "both", "."))
    numpy.testing.assert_allclose(run(shim), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "cls, settings",
    [
        ("BloomForCausalLM", dict(target_modules=["dense"], layers_to_transform=[0])),
        ("BloomModel", dict(target_modules=["dense", "dense_4h_to_h"], rank_pattern={"dense_4h_to_h": 2})),
        ("BloomForCausalLM", dict(target_modules=["dense"], modules_to_save=["word_embeddings"])),
        ("BloomForCausalLM", dict(target_modules=["dense", "word_embeddings"])),
        ("BloomModel", dict(target_modules=["dense"], use_dora=True)),
    ],
)
def test_adapters_of_other_kinds_are_refused_with_advice(checkpoint, trained, tmp_path, cls, settings):
    adapter, _ = trained(cls, settings)
    for place in (".", "adapter"):
        shim = make(put(adapter, checkpoint, tmp_path / f"both{place}", place))
        with pytest.raises(CheckpointError, match=r"(?s)adapter.*merge_and_unload"):
            shim.load()


@pytest.mark.parametrize("place", [".", "adapter"])
def test_who_does_not_read_adapters_says_so(checkpoint, trained, tmp_path, place):
    adapter, _ = trained(*PEFT["alone"])
    both = put(adapter, checkpoint, tmp_path / "both", place)
    with pytest.warns(BloomWarning, match="are not read.*merge_and_unload"):
        BloomForCausalLM.from_pretrained(both)
    with pytest.warns(BloomWarning, match="are not read"):
        LanguageModelShim(WeightSettings(str(both))).load()
    with pytest.raises(InputError, match="adapter"):
        plan_conversion(both)


def test_adapters_without_their_model(trained):
    adapter, _ = trained(*PEFT["alone"])
    for read in (BloomForCausalLM.from_pretrained, lambda path: make(path).load()):
        with pytest.raises(
            CheckpointError, match=r"adapter of peft without the model.*copy its files.*merge_and"
        ):
            read(adapter)


@pytest.mark.parametrize(
    "cls",
    [
        "BloomModel",
        "BloomForCausalLM",
        "BloomForSequenceClassification",
        "BloomForTokenClassification",
        "BloomForQuestionAnswering",
    ],
)
def test_peft_takes_ours_back_in_every_class(adapted, tmp_path, cls):
    import peft

    adapted.to_disk(tmp_path)
    base = getattr(transformers, cls).from_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of missing adapters
        theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    decoder = theirs.base_model.model if cls == "BloomModel" else theirs.base_model.model.transformer
    with torch.no_grad():
        expected = torch.cat([decoder(row[None]).last_hidden_state[0] for row in IDS.split([4, 5])])
    numpy.testing.assert_allclose(run(adapted), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_adapters_that_were_there_before_go(adapted, checkpoint, trained, tmp_path):
    """They belong to other weights, wherever they are."""
    adapter, _ = trained(*PEFT["alone"])
    both = put(adapter, checkpoint, tmp_path / "both", ".")
    adapted.to_disk(both)
    numpy.testing.assert_array_equal(run(make(both)), run(adapted))
    make(checkpoint).to_disk(both)
    assert not list(both.glob("**/adapter*"))
