import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomForTokenClassification, BloomModel
from spacy_bloom.checkpoint.files import TensorSource, WeightFiles
from spacy_bloom.checkpoint.load import Place, load_model, to_dtype
from spacy_bloom.errors import BloomWarning, CheckpointError, InputError

CONFIG = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=3, num_labels=4)
IDS = torch.arange(12).view(2, 6)


@pytest.fixture
def saved(tmp_path, randomize):
    """A function that saves a random model of a class, with some weights changed or removed (None)."""

    def save(cls=BloomModel, config=CONFIG, **changes):
        model = randomize(cls(config)).eval()
        model.save_pretrained(tmp_path)
        if changes:
            weights = {**load_file(tmp_path / "model.safetensors"), **changes}
            kept = {name: value for name, value in weights.items() if value is not None}
            save_file(kept, tmp_path / "model.safetensors")
        return model

    return save


@pytest.mark.parametrize("cls", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
def test_outputs_after_a_round_trip(tmp_path, saved, cls):
    model = saved(cls)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = cls.from_pretrained(tmp_path)
    assert type(back) is cls and not back.training and all(p.requires_grad for p in back.parameters())
    for one, other in zip(back.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)
    name = "last_hidden_state" if cls is BloomModel else "logits"
    assert torch.equal(getattr(back(IDS), name), getattr(model(IDS), name))
    assert back.config.replace(extra={}) == model.config


def test_names_that_are_no_fields_of_the_config(tmp_path, saved):
    """The config would keep them, and nothing would follow them."""
    saved()
    with pytest.raises(InputError, match=r"got n_heads, n_layers\."):
        BloomModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16, n_heads=3, n_layers=2)
    changed = BloomModel.from_pretrained(tmp_path, hidden_dropout=0.5, num_labels=3, num_attention_heads=3)
    assert changed.config.hidden_dropout == 0.5 and changed.config.num_labels == 3
    labels = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    assert BloomModel.from_pretrained(tmp_path, **labels).config.label2id == labels["label2id"]


def test_loaded_weights_can_be_trained_and_saved_over_themselves(tmp_path, saved):
    saved(BloomForCausalLM)
    model = BloomForCausalLM.from_pretrained(tmp_path)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(IDS, labels=IDS).loss.backward()
    optimizer.step()
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    model.save_pretrained(tmp_path)
    assert torch.equal(BloomForCausalLM.from_pretrained(tmp_path)(IDS).logits, model(IDS).logits)


def test_all_problems_are_in_one_error(tmp_path, saved):
    saved(
        **{
            "ln_f.bias": None,
            "h.1.mlp.dense_4h_to_h.weight": None,
            "ln_f.weight": torch.zeros(25),
            "h.0.mlp.dense_h_to_4h.bias": torch.zeros(3, 4),
            "h.2.input_layernorm.weight": torch.zeros(24),
            "strange": torch.zeros(1),
        }
    )
    with pytest.raises(CheckpointError) as caught:
        BloomModel.from_pretrained(tmp_path)
    message = str(caught.value)
    for part in (
        str(tmp_path),
        "6 problems",
        "missing: ln_f.bias (24,)",
        "missing: h.1.mlp.dense_4h_to_h.weight (24, 96)",
        "misshapen: ln_f.weight is (25,), the config says (24,)",
        "misshapen: h.0.mlp.dense_h_to_4h.bias is (3, 4), the config says (96,)",
        "unexpected: h.2.input_layernorm.weight (24,)",
        "unexpected: strange (1,)",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    "changes", [dict(n_layer=1), dict(n_layer=3), dict(hidden_size=48), dict(vocab_size=96), dict(n_head=4)]
)
def test_another_geometry(tmp_path, saved, changes):
    saved()
    if "n_head" in changes:  # the only field that no shape shows
        assert BloomModel.from_pretrained(tmp_path, **changes).config.n_head == 4
    else:
        with pytest.raises(CheckpointError, match="problems"):
            BloomModel.from_pretrained(tmp_path, **changes)


def test_a_new_head_is_random_with_a_warning(tmp_path, saved):
    decoder = saved()
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        with pytest.warns(
            BloomWarning, match=r"classifier.bias.*classifier.weight.*random. Train them"
        ) as caught:
            results.append(BloomForTokenClassification.from_pretrained(tmp_path, num_labels=5))
        assert len(caught) == 1
    heads = [model.classifier.weight for model in results]
    assert heads[0].shape == (5, 24) and not results[0].classifier.bias.any()
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert abs(heads[0].std().item() / CONFIG.initializer_range - 1) < 0.3
    expected = decoder(IDS).last_hidden_state
    assert torch.equal(results[0].transformer(IDS).last_hidden_state, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_new_head_has_the_dtype_of_the_files(tmp_path, dtype):
    BloomModel(CONFIG).save_pretrained(tmp_path, dtype=dtype)
    with pytest.warns(BloomWarning):
        model = BloomForTokenClassification.from_pretrained(tmp_path, dtype="auto")
    assert {p.dtype for p in model.parameters()} == {getattr(torch, dtype)}
    assert model(IDS).logits.shape == (2, 6, 4)


def test_a_new_untied_lm_head(tmp_path, saved):
    saved()
    with pytest.warns(BloomWarning, match=r"lm_head.weight"):
        model = BloomForCausalLM.from_pretrained(tmp_path, tie_word_embeddings=False)
    assert not torch.equal(model.lm_head.weight, model.transformer.word_embeddings.weight)


def test_a_head_may_be_asked_for(tmp_path, saved):
    saved()
    with pytest.raises(CheckpointError, match=r"missing: classifier.weight \(4, 24\)"):
        load_model(BloomForTokenClassification, CONFIG, WeightFiles(tmp_path), new_head=False)


def test_a_head_of_another_size_is_an_error(tmp_path, saved):
    saved(BloomForTokenClassification)
    with pytest.raises(CheckpointError, match=r"classifier.weight is \(4, 24\), the config says \(7, 24\)"):
        BloomForTokenClassification.from_pretrained(tmp_path, num_labels=7)


def test_other_heads_are_left_unread(tmp_path, saved):
    model = saved(BloomForTokenClassification)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoder, language_model = (
            BloomModel.from_pretrained(tmp_path),
            BloomForCausalLM.from_pretrained(tmp_path),
        )
    assert torch.equal(decoder(IDS).last_hidden_state, model.transformer(IDS).last_hidden_state)
    assert language_model(IDS).logits.shape == (2, 6, 97)


def test_a_tied_head_in_the_file(tmp_path, saved, randomize):
    embedding = randomize(BloomForCausalLM(CONFIG)).lm_head.weight.detach()
    saved(BloomForCausalLM, **{"lm_head.weight": embedding.clone()})
    assert torch.equal(BloomForCausalLM.from_pretrained(tmp_path).lm_head.weight, embedding)
    for other in (embedding + 1, embedding[:-1].clone()):
        saved(BloomForCausalLM, **{"lm_head.weight": other})
        with pytest.raises(CheckpointError, match="tie_word_embeddings=False"):
            BloomForCausalLM.from_pretrained(tmp_path)
    saved(BloomForCausalLM, **{"lm_head.weight": embedding + 1})
    model = BloomForCausalLM.from_pretrained(tmp_path, tie_word_embeddings=False)
    assert torch.equal(model.lm_head.weight, embedding + 1)
    assert torch.equal(BloomModel.from_pretrained(tmp_path).word_embeddings.weight, embedding)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", torch.float16])
def test_dtypes(tmp_path, saved, dtype):
    model = saved(BloomForCausalLM)
    expected = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    loaded = BloomForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in loaded.parameters()} == {expected}
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight.to(expected))
    loaded.save_pretrained(tmp_path)
    assert BloomForCausalLM.from_pretrained(tmp_path, dtype="auto").dtype == expected
    assert BloomForCausalLM.from_pretrained(tmp_path).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn])
@pytest.mark.parametrize("asked", ["auto", "float32"])
def test_dtypes_that_are_no_weights(tmp_path, saved, dtype, asked):
    saved(**{"ln_f.weight": torch.ones(24).to(dtype)})
    with pytest.raises(CheckpointError, match=r"ln_f.weight"):
        BloomModel.from_pretrained(tmp_path, dtype=asked)


def test_several_dtypes_need_a_decision(tmp_path, saved):
    saved(**{"ln_f.weight": torch.ones(24, dtype=torch.float16)})
    with pytest.raises(CheckpointError, match="several dtypes"):
        BloomModel.from_pretrained(tmp_path, dtype="auto")
    assert BloomModel.from_pretrained(tmp_path, dtype="bfloat16").dtype == torch.bfloat16


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, saved, randomize, monkeypatch):
    model = saved()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(*args, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr("spacy_bloom.checkpoint.writing.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        randomize(BloomModel(CONFIG.replace(n_layer=1)), seed=1).save_pretrained(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert torch.equal(
        BloomModel.from_pretrained(tmp_path)(IDS).last_hidden_state, model(IDS).last_hidden_state
    )


def test_equal_models_are_equal_bytes(tmp_path, randomize):
    for folder in ("one", "other"):
        randomize(BloomForCausalLM(CONFIG)).save_pretrained(tmp_path / folder, max_shard_size=20_000)
    one, other = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("one", "other"))
    assert one == other and len(one) > 3


def test_a_config_instead_of_the_files(tmp_path, saved):
    saved()
    (tmp_path / "config.json").write_text("{}", encoding="utf8")
    config = CONFIG.replace(layer_norm_epsilon=1e-3)
    loaded = BloomModel.from_pretrained(tmp_path, config=config).config
    assert loaded == config.replace(torch_dtype=loaded.torch_dtype) and loaded.layer_norm_epsilon == 1e-3


def test_weights_in_memory(randomize):
    model = randomize(BloomModel(CONFIG)).eval()
    source = TensorSource(model.state_dict())
    assert source.shapes["ln_f.weight"] == (24,)
    loaded = load_model(BloomModel, CONFIG, source)
    assert torch.equal(loaded(IDS).last_hidden_state, model(IDS).last_hidden_state)
    del source["ln_f.weight"]
    with pytest.raises(CheckpointError, match="the serialised bytes"):
        load_model(BloomModel, CONFIG, source)


def test_the_tiny_checkpoint_can_be_copied(tmp_path, tiny_checkpoint):
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    one, other = (BloomForCausalLM.from_pretrained(path) for path in (tiny_checkpoint, tmp_path / "copy"))
    assert torch.equal(one(IDS).logits, other(IDS).logits)


@pytest.mark.parametrize("cls", [BloomModel, BloomForCausalLM, BloomForTokenClassification])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_first_blocks(tmp_path, saved, cls, num_layers):
    whole = saved(cls, CONFIG.replace(n_layer=3))
    part = cls.from_pretrained(tmp_path, num_layers=num_layers)
    assert part.config == whole.config.replace(n_layer=num_layers, extra=part.config.extra)
    decoder = whole if cls is BloomModel else whole.transformer
    decoder.h = decoder.h[:num_layers]
    name = "last_hidden_state" if cls is BloomModel else "logits"
    options = dict(use_cache=False)
    assert torch.equal(getattr(part(IDS, **options), name), getattr(whole(IDS, **options), name))
    part.save_pretrained(tmp_path / "part")
    again = cls.from_pretrained(tmp_path / "part")
    assert torch.equal(getattr(again(IDS), name), getattr(part(IDS), name))


def test_blocks_that_are_left_out_are_not_read(tmp_path, randomize):
    randomize(BloomModel(CONFIG.replace(n_layer=4))).save_pretrained(tmp_path, max_shard_size=1)
    whole = BloomModel.from_pretrained(tmp_path)
    removed = 0
    for name, weight in WeightFiles(tmp_path).weights.items():
        if name.startswith(("h.2.", "h.3.")):
            weight.path.unlink()
            removed += 1
    assert removed == 24
    part = BloomModel.from_pretrained(tmp_path, num_layers=2)
    assert len(part.h) == 2 and torch.equal(
        part.h[1].mlp.dense_h_to_4h.bias, whole.h[1].mlp.dense_h_to_4h.bias
    )
    with pytest.raises(CheckpointError, match="not there"):
        BloomModel.from_pretrained(tmp_path, num_layers=3)


@pytest.mark.parametrize("num_layers", [0, -1, 3, True, 1.0, "1"])
def test_blocks_that_there_are_not(tmp_path, saved, num_layers):
    saved()
    with pytest.raises(InputError, match=r"num_layers to be an integer from 1 to 2, got"):
        BloomModel.from_pretrained(tmp_path, num_layers=num_layers)


def test_blocks_beyond_the_config_are_errors_as_before(tmp_path, saved):
    saved(**{"h.2.input_layernorm.weight": torch.zeros(24)})
    with pytest.raises(CheckpointError, match="unexpected: h.2.input_layernorm.weight"):
        BloomModel.from_pretrained(tmp_path, num_layers=1)


# How tensor parallelism divides a block: by rows, which are outputs (head by head), or by columns.
ROWS, COLUMNS = ("query_key_value", "dense_h_to_4h"), ("self_attention.dense", "dense_4h_to_h")
DIVIDED = BloomConfig(vocab_size=97, hidden_size=24, n_layer=2, n_head=4, num_labels=4)


def on_rank(rank, asked=None):
    """A placement on one of two ranks."""

    def place(name, shape):
        if asked is not None:
            asked[name] = shape
        module, _, kind = name.rpartition(".")
        half = slice(rank * shape[0] // 2, (rank + 1) * shape[0] // 2)
        if module.endswith(ROWS):
            return Place("cpu", (half,))
        if module.endswith(COLUMNS) and kind == "weight":
            return Place("cpu", (slice(None), slice(rank * shape[1] // 2, (rank + 1) * shape[1] // 2)))
        return Place("cpu")

    return place


def cut(weights, rank):
    return {n: value[on_rank(rank)(n, value.shape).slices] for n, value in weights.items()}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", ["safetensors", "bin", "memory"])
def test_each_rank_gets_its_slices(tmp_path, saved, kind, rank):
    model = saved(config=DIVIDED)
    expected, asked = cut(model.state_dict(), rank), {}
    source = TensorSource(model.state_dict())
    if kind != "memory":
        if kind == "bin":
            (tmp_path / "model.safetensors").unlink()
            torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        source = WeightFiles(tmp_path)
    part = load_model(BloomModel, DIVIDED, source, placement=on_rank(rank, asked))
    assert asked == {name: tuple(value.shape) for name, value in model.named_parameters()}
    found = dict(part.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) and value.requires_grad for name, value in found.items())


def test_only_the_slices_are_read(tmp_path, saved):
    model = saved(config=DIVIDED)
    files = WeightFiles(tmp_path)
    whole = []
    read = WeightFiles.__getitem__

    class Spy(WeightFiles):
        def __getitem__(self, name):
            whole.append(name)
            return read(self, name)

    files.__class__ = Spy
    part = load_model(BloomModel, DIVIDED, files, placement=on_rank(1))
    assert whole and not [name for name in whole if name.rpartition(".")[0].endswith(ROWS)]
    assert all(value.is_contiguous() for value in part.parameters())
    for name, value in part.named_parameters():
        if name.rpartition(".")[0].endswith(COLUMNS) and value.dim() == 2:  # rows stay a view of the map
            assert value.untyped_storage().nbytes() == value.nbytes < model.get_parameter(name).nbytes


def test_two_ranks_add_up_to_the_whole(tmp_path, saved):
    """A layer divided by rows, then one divided by columns: the sum over ranks, with the bias once."""
    mlp = saved(config=DIVIDED).h[1].mlp
    hidden = torch.randn(5, DIVIDED.hidden_size)
    with torch.inference_mode():
        parts = [
            BloomModel.from_pretrained(tmp_path, placement=on_rank(rank))
            .h[1]
            .mlp(hidden, torch.zeros_like(hidden))
            for rank in (0, 1)
        ]
        whole = mlp(hidden, torch.zeros_like(hidden))
    torch.testing.assert_close(sum(parts) - mlp.dense_4h_to_h.bias, whole, rtol=1e-5, atol=1e-6)


def test_weights_are_placed_after_all_were_checked(tmp_path, saved):
    saved(config=DIVIDED, **{"ln_f.weight": torch.zeros(3)})
    asked = {}
    with pytest.raises(CheckpointError, match="misshapen: ln_f.weight"):
        BloomModel.from_pretrained(tmp_path, placement=on_rank(0, asked))
    assert asked == {}


def test_a_new_head_and_other_devices_are_placed(tmp_path, saved):
    saved(config=DIVIDED)

    def place(name, shape):
        return Place("cpu", (slice(1, 3),)) if name.startswith("classifier") else Place("meta")

    with pytest.warns(BloomWarning, match="random"):
        model = BloomForTokenClassification.from_pretrained(tmp_path, placement=place)
    assert {p.device.type for p in model.transformer.parameters()} == {"meta"}
    assert model.classifier.weight.shape == (2, 24) and model.classifier.weight.device.type == "cpu"


def test_a_tied_head_is_placed_with_the_embedding(tmp_path, saved):
    saved(BloomForCausalLM, DIVIDED)
    model = BloomForCausalLM.from_pretrained(
        tmp_path, placement=lambda name, shape: Place("cpu", (slice(10, 20),) if shape[0] == 97 else ())
    )
    assert model.lm_head.weight is model.transformer.word_embeddings.weight
    assert model.lm_head.weight.shape == (10, 24)


@pytest.mark.parametrize(
    "asked, expected",
    [
        (None, None),
        ("auto", None),
        ("bfloat16", torch.bfloat16),
        (torch.float16, torch.float16),
    ],
)
def test_names_of_dtypes(asked, expected):
    assert to_dtype(asked) == expected


@pytest.mark.parametrize("asked", ["int8", "torch.float32", torch.int8, 32])
def test_dtypes_to_load_in(asked):
    with pytest.raises(InputError, match="'bfloat16', 'float16', 'float32'.* or 'auto', got"):
        to_dtype(asked)
