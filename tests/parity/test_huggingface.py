"""Random tiny twins: a Hugging Face model made from a config, and ours with its weights."""

import shutil

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig
from spacy_bloom.errors import BloomWarning

CLASSES = ["BloomModel", "BloomForCausalLM", "BloomForTokenClassification"]
PADDINGS = ["none", "left", "right"]


@pytest.fixture
def make_twins(randomize):
    def make(cls, fields):
        theirs = getattr(transformers, cls)(transformers.BloomConfig(**fields, num_labels=5))
        randomize(theirs, std=0.25).eval()
        ours = getattr(spacy_bloom, cls)(BloomConfig(**fields, num_labels=5)).eval()
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs

    return make


def draw_batch(fields, padding, *, length=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(fields["vocab_size"], (3, length), generator=generator)
    mask = torch.ones_like(ids)
    for row, n in enumerate((0, 4, length - 2)):
        if padding == "left":
            mask[row, :n] = 0
        elif padding == "right" and n:
            mask[row, -n:] = 0
    return ids, mask


def draw_labels(cls, fields, ids, mask):
    if cls == "BloomForCausalLM":
        labels = ids.clone()
    else:
        labels = torch.randint(5, ids.shape, generator=torch.Generator().manual_seed(7))
    labels[mask == 0] = -100
    return labels


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("cls", CLASSES)
def test_outputs(make_twins, difference, twin_config, cls, padding):
    ours, theirs = make_twins(cls, twin_config)
    ids, mask = draw_batch(twin_config, padding)
    options = dict(attention_mask=mask, output_hidden_states=True, output_attentions=True)
    with torch.no_grad():
        output, expected = ours(ids, **options), theirs(ids, **options)
    real = mask.bool()
    assert len(output.hidden_states) == len(expected.hidden_states) == twin_config["n_layer"] + 1
    for state, other in zip(output.hidden_states, expected.hidden_states, strict=True):
        assert difference(state[real], other[real]) < 1e-5
    assert len(output.attentions) == len(expected.attentions) == twin_config["n_layer"]
    for weights, other in zip(output.attentions, expected.attentions, strict=True):
        rows = real[:, None, :].expand(weights.shape[:3])
        assert difference(weights[rows], other[rows]) < 1e-5
    name = "last_hidden_state" if cls == "BloomModel" else "logits"
    assert difference(getattr(output, name)[real], getattr(expected, name)[real]) < 1e-5


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("cls", CLASSES)
def test_loss_and_gradients(make_twins, difference, twin_config, cls, padding):
    ours, theirs = make_twins(cls, twin_config)
    ids, mask = draw_batch(twin_config, padding)
    losses = []
    for model in (ours, theirs):
        if cls == "BloomModel":
            states = model(ids, attention_mask=mask).last_hidden_state
            weight = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
            losses.append((states * weight)[mask.bool()].mean())
        else:
            losses.append(
                model(ids, attention_mask=mask, labels=draw_labels(cls, twin_config, ids, mask)).loss
            )
        losses[-1].backward()
    assert difference(losses[0], losses[1]) < 1e-5
    expected = dict(theirs.named_parameters())
    assert {name for name, _ in ours.named_parameters()} == set(expected)
    head_dim = twin_config["hidden_size"] // twin_config["n_head"]
    for name, parameter in ours.named_parameters():
        ours_grad, theirs_grad = parameter.grad, expected[name].grad
        if name.endswith("query_key_value.bias"):
            # The keys' bias moves all scores of a query alike: its gradient is 0, all else is rounding.
            ours_grad, theirs_grad = (g.view(-1, 3, head_dim)[:, [0, 2]] for g in (ours_grad, theirs_grad))
        assert difference(ours_grad, theirs_grad) < 1e-5, name


@pytest.mark.parametrize("padding", ["none", "left"])
def test_step_by_step(make_twins, difference, twin_config, padding):
    ours, theirs = make_twins("BloomForCausalLM", twin_config)
    ids, mask = draw_batch(twin_config, padding)
    done, cache, their_cache = 0, None, None
    with torch.no_grad():
        for new in (5, 1, 1, 3, 1):
            part = dict(
                input_ids=ids[:, done : done + new], attention_mask=mask[:, : done + new], use_cache=True
            )
            output = ours(**part, past_key_values=cache)
            expected = theirs(**part, past_key_values=their_cache)
            cache, their_cache = output.past_key_values, expected.past_key_values
            real = mask[:, done : done + new].bool()
            assert difference(output.logits[real], expected.logits[real]) < 1e-5
            done += new
    assert cache.length == done
    for layer in range(twin_config["n_layer"]):
        rows = mask.bool()[:, None, :].expand(3, twin_config["n_head"], -1)
        for tensor, other in zip(cache[layer], their_cache[layer], strict=True):
            assert difference(tensor[rows], other[rows]) < 1e-5


def test_long_texts(make_twins, difference):
    fields = dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)
    ours, theirs = make_twins("BloomModel", fields)
    ids, mask = draw_batch(fields, "left", length=600)
    with torch.no_grad():
        states = ours(ids, attention_mask=mask).last_hidden_state[mask.bool()]
        expected = theirs(ids, attention_mask=mask).last_hidden_state[mask.bool()]
    assert difference(states, expected) < 1e-5


FIELDS = dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)
LAYOUTS = {
    "safetensors": ({}, "model.safetensors"),
    "shards": (dict(max_shard_size="20KB"), "model.safetensors.index.json"),
    "bin": (dict(safe_serialization=False), "pytorch_model.bin"),
    "bin-shards": (dict(safe_serialization=False, max_shard_size="20KB"), "pytorch_model.bin.index.json"),
}


def outputs(model, ids, mask):
    with torch.no_grad():
        output = model(ids, attention_mask=mask)
    return (output.last_hidden_state if hasattr(output, "last_hidden_state") else output.logits)[mask.bool()]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_what_hugging_face_writes(tmp_path, make_twins, difference, layout, cls):
    options, file = LAYOUTS[layout]
    _, theirs = make_twins(cls, FIELDS)
    theirs.save_pretrained(tmp_path, **options)
    assert (tmp_path / file).exists()
    ours = getattr(spacy_bloom, cls).from_pretrained(tmp_path)
    batch = draw_batch(FIELDS, "left")
    assert difference(outputs(ours, *batch), outputs(theirs, *batch)) < 1e-5
    assert not ours.training and ours.config.num_labels == 5


@pytest.mark.parametrize("saved", CLASSES)
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_with_and_without_the_prefix(tmp_path, make_twins, difference, layout, saved):
    _, theirs = make_twins(saved, FIELDS)
    theirs.save_pretrained(tmp_path, **LAYOUTS[layout][0])
    decoder = theirs if saved == "BloomModel" else theirs.transformer
    batch = draw_batch(FIELDS, "right")
    expected = outputs(decoder, *batch)
    assert difference(outputs(spacy_bloom.BloomModel.from_pretrained(tmp_path), *batch), expected) < 1e-5
    language_model = spacy_bloom.BloomForCausalLM.from_pretrained(tmp_path)
    assert (
        difference(outputs(language_model, *batch), expected @ decoder.word_embeddings.weight.detach().T)
        < 1e-5
    )
    if saved != "BloomForTokenClassification":
        with pytest.warns(BloomWarning, match="classifier.weight"):
            classifier = spacy_bloom.BloomForTokenClassification.from_pretrained(tmp_path)
        assert difference(outputs(classifier.transformer, *batch), expected) < 1e-5


@pytest.mark.parametrize("max_shard_bytes", [2 * 1024**3, 20_000])
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
@pytest.mark.parametrize("cls", CLASSES)
def test_what_we_write(tmp_path, make_twins, difference, cls, dtype, max_shard_bytes):
    ours, _ = make_twins(cls, FIELDS)
    ours.save_pretrained(tmp_path, dtype=dtype, max_shard_bytes=max_shard_bytes)
    assert (tmp_path / "model.safetensors").exists() == (max_shard_bytes > 20_000)
    theirs, loading = getattr(transformers, cls).from_pretrained(
        tmp_path, torch_dtype="auto", output_loading_info=True
    )
    assert not any(
        loading[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
    )
    back = getattr(spacy_bloom, cls).from_pretrained(tmp_path, dtype="auto")
    stored = torch.float32 if dtype is None else getattr(torch, dtype)
    assert back.dtype == theirs.dtype == stored
    expected = {name: value.to(stored) for name, value in ours.state_dict().items()}
    for state in (theirs.state_dict(), back.state_dict()):
        assert set(state) == set(expected)
        for name, value in expected.items():
            assert torch.equal(state[name], value), name
    batch = draw_batch(FIELDS, "left")
    assert difference(outputs(theirs.float().eval(), *batch), outputs(back.float(), *batch)) < 1e-5
    if dtype is None:
        assert torch.equal(outputs(back, *batch), outputs(ours, *batch))


def test_an_untied_head_both_ways(tmp_path, make_twins, difference):
    ours, theirs = make_twins("BloomForCausalLM", {**FIELDS, "tie_word_embeddings": False})
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    batch = draw_batch(FIELDS, "left")
    expected = outputs(theirs, *batch)
    back = spacy_bloom.BloomForCausalLM.from_pretrained(tmp_path / "theirs")
    assert difference(outputs(back, *batch), expected) < 1e-5
    theirs = transformers.BloomForCausalLM.from_pretrained(tmp_path / "ours")
    assert difference(outputs(theirs, *batch), expected) < 1e-5


def test_a_bin_beside_safetensors_is_not_read(tmp_path, make_twins, difference):
    _, theirs = make_twins("BloomModel", FIELDS)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not to be opened")
    shutil.copy(tmp_path / "pytorch_model.bin", tmp_path / "tf_model.h5")
    batch = draw_batch(FIELDS, "none")
    back = spacy_bloom.BloomModel.from_pretrained(tmp_path)
    assert difference(outputs(back, *batch), outputs(theirs, *batch)) < 1e-5
