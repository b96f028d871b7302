"""Loading and saving by Hugging Face's arguments, on both."""

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.files import TensorSource
from spacy_bloom.checkpoint.loading_info import LoadingInfo
from spacy_bloom.errors import BloomWarning, CheckpointError, InputError

FIELDS = dict(vocab_size=50, hidden_size=24, n_layer=2, n_head=3, pad_token_id=3)
IDS = torch.arange(10)[None]
LIBRARIES = pytest.mark.parametrize("library", [spacy_bloom, transformers])
ASKED = dict(output_loading_info=True, ignore_mismatched_sizes=True)


@pytest.fixture
def theirs(randomize, tmp_path):
    model = randomize(
        transformers.BloomForTokenClassification(transformers.BloomConfig(**FIELDS, num_labels=3))
    )
    model.eval().save_pretrained(tmp_path)
    return model


def test_what_is_not_as_expected(theirs, tmp_path):
    for name in (
        "BloomForTokenClassification",
        "BloomForCausalLM",
        "BloomModel",
        "BloomForSequenceClassification",
    ):
        found = []
        for library in (transformers, spacy_bloom):
            model, info = getattr(library, name).from_pretrained(tmp_path, output_loading_info=True)
            found.append({key: sorted(value) for key, value in info.items()})
        assert found[0] == found[1], name
        assert type(model).__name__ == name and not model.training


@pytest.mark.filterwarnings("ignore::spacy_bloom.errors.BloomWarning")
def test_weights_of_other_shapes(theirs, tmp_path):
    for changes in (dict(num_labels=5), dict(vocab_size=60)):
        for name in ("BloomForTokenClassification", "BloomForCausalLM"):
            infos = []
            for library in (transformers, spacy_bloom):
                model, info = getattr(library, name).from_pretrained(tmp_path, **changes, **ASKED)
                infos.append(sorted(info["mismatched_keys"]))
            assert infos[0] == infos[1]
            assert model(IDS).logits.shape[-1] in (5, 3, 50, 60)
            assert torch.isfinite(model(IDS).logits).all()
            ours, other = (m.transformer.h[0].mlp.dense_h_to_4h.weight for m in (model, theirs))
            assert torch.equal(ours, other)
    with pytest.raises(CheckpointError, match="misshapen: classifier"):
        BloomForTokenClassification.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(BloomWarning, match=r"other shapes.*classifier.weight"):
        BloomForTokenClassification.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)


def test_nothing_is_read_to_know():
    config = BloomConfig(**FIELDS)
    source = TensorSource({"ln_f.weight": torch.empty(24, device="meta"), "score.weight": torch.empty(1, 1)})
    info = LoadingInfo.of(BloomModel, config, source)
    assert info.unexpected == ["score.weight"] and "ln_f.bias" in info.missing and not info.mismatched
    assert info.patched(source, config) is source


@LIBRARIES
def test_dtypes_and_devices(theirs, tmp_path, library):
    cls = library.BloomForTokenClassification
    assert cls.from_pretrained(tmp_path).dtype == torch.float32
    for dtype in (torch.bfloat16, "bfloat16"):
        assert (
            cls.from_pretrained(tmp_path, torch_dtype=dtype, low_cpu_mem_usage=True).dtype == torch.bfloat16
        )
    cls.from_pretrained(tmp_path, torch_dtype=torch.float16).save_pretrained(tmp_path / "half")
    assert cls.from_pretrained(tmp_path / "half", torch_dtype="auto").dtype == torch.float16
    for device_map in ("cpu", "auto", torch.device("cpu"), {"": "cpu"}):
        model = cls.from_pretrained(tmp_path, device_map=device_map)
        assert {p.device.type for p in model.parameters()} == {"cpu"}


@LIBRARIES
def test_configs(theirs, tmp_path, library):
    cls = library.BloomForTokenClassification
    config = library.BloomConfig.from_pretrained(tmp_path)
    config.use_cache = False
    for given in (config, tmp_path, str(tmp_path)):
        model = cls.from_pretrained(str(tmp_path), config=given)
        assert model.config.num_labels == 3 and model.config is not given
        assert model.config.use_cache == (given is not config)
        assert model.config.name_or_path == model.name_or_path == str(tmp_path)
    config.n_layer = 2  # still free: it was copied
    model = cls.from_pretrained(
        tmp_path, output_attentions=True, return_dict=False, revision="main", token=None
    )
    assert isinstance(model(IDS), tuple) and model.config.output_attentions
    same = dict(
        local_files_only=True, force_download=False, cache_dir=str(tmp_path / "cache"), use_safetensors=True
    )
    assert cls.from_pretrained(pretrained_model_name_or_path=tmp_path, **same).config.num_labels == 3


def test_a_config_of_transformers(theirs, tmp_path, difference):
    config = transformers.BloomConfig.from_pretrained(tmp_path)
    model = BloomForTokenClassification.from_pretrained(tmp_path, config=config)
    assert difference(model(IDS).logits, theirs(IDS).logits) < 1e-5


@LIBRARIES
def test_weights_in_memory(theirs, library, difference):
    config = library.BloomConfig(**FIELDS, num_labels=3)
    cls = library.BloomForTokenClassification
    model = cls.from_pretrained(None, config=config, state_dict=theirs.state_dict())
    assert difference(model(IDS).logits, theirs(IDS).logits) < 1e-5


def test_names_and_weights_that_contradict(theirs, tmp_path):
    for name, options in ((tmp_path, dict(state_dict={})), (None, {}), (None, dict(state_dict={}))):
        with pytest.raises(InputError, match=r"Expected a (checkpoint's name|config)"):
            BloomForTokenClassification.from_pretrained(name, **options)
    with pytest.raises(InputError, match="no meta"):
        BloomForTokenClassification.from_pretrained(
            tmp_path, device_map={"transformer": "cpu", "classifier": "meta"}
        )


def test_kinds_of_files(theirs, tmp_path):
    theirs.save_pretrained(tmp_path / "bin", safe_serialization=False)
    cls = BloomForTokenClassification
    assert cls.from_pretrained(tmp_path / "bin", use_safetensors=False).config.num_labels == 3
    with pytest.raises(
        CheckpointError, match=r"Expected one of model.safetensors, model.safetensors.index.json\."
    ):
        cls.from_pretrained(tmp_path / "bin", use_safetensors=True)
    with pytest.raises(CheckpointError, match=r"Expected one of pytorch_model.bin"):
        cls.from_pretrained(tmp_path, use_safetensors=False)


@pytest.mark.parametrize("max_shard_size", ["2GB", "20KB"])
def test_variants_both_ways(theirs, tmp_path, difference, max_shard_size):
    ours = BloomForTokenClassification.from_pretrained(tmp_path)
    places = tmp_path / "ours", tmp_path / "theirs"
    for model, place in ((ours, places[0]), (theirs, places[1])):
        model.save_pretrained(place, variant="fp16", max_shard_size=max_shard_size)
    names = [sorted(file.name for file in place.glob("*safetensors*")) for place in places]
    assert all(
        name.split(".")[1].startswith("fp16") or name == "model.safetensors.index.fp16.json"
        for name in names[0]
    )
    for place in places:
        for library in (spacy_bloom, transformers):
            model = library.BloomForTokenClassification.from_pretrained(place, variant="fp16")
            assert difference(model(IDS).logits, theirs(IDS).logits) < 1e-5
    with pytest.raises(CheckpointError, match="No weights"):
        BloomForTokenClassification.from_pretrained(places[0])
    ours.save_pretrained(places[0])
    ours.save_pretrained(places[0], variant="fp16", max_shard_size="2GB")
    assert sorted(file.name for file in places[0].glob("*safetensors*")) == [
        "model.fp16.safetensors",
        "model.safetensors",
    ]
    for wrong in ("../fp16", "", 5):
        with pytest.raises(InputError, match="variant"):
            ours.save_pretrained(places[0], variant=wrong)


@LIBRARIES
def test_saving(theirs, tmp_path, library, difference):
    model = library.BloomForTokenClassification.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path / "nothing", is_main_process=False)
    assert not (tmp_path / "nothing").exists() or library is transformers
    state = {name: value * 0 for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path / "zero", state_dict=state, safe_serialization=True, max_shard_size="20KB")
    back = BloomForTokenClassification.from_pretrained(tmp_path / "zero")
    assert back(IDS).logits.abs().sum() == 0


def test_saving_that_is_refused(tmp_path):
    model = BloomForCausalLM(BloomConfig(**FIELDS))
    with pytest.raises(InputError, match="hold no code"):
        model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(InputError, match="upload_folder"):
        model.save_pretrained(tmp_path, push_to_hub=True)
    assert not list(tmp_path.iterdir())


def test_subfolders(theirs, tmp_path):
    theirs.save_pretrained(tmp_path / "outer" / "inner")
    assert (
        BloomForTokenClassification.from_pretrained(tmp_path / "outer", subfolder="inner").config.num_labels
        == 3
    )
