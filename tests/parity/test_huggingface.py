"""Random tiny twins: a Hugging Face model made from a config, and ours with its weights."""

import shutil

import pytest
import torch
import transformers

import spacy_bloom
from spacy_bloom import BloomConfig
from spacy_bloom.bloom.cache import KeyValueCache
from spacy_bloom.errors import BloomWarning

# Each class with what it returns.
CLASSES = {
    "BloomModel": ["last_hidden_state"],
    "BloomForCausalLM": ["logits"],
    "BloomForTokenClassification": ["logits"],
    "BloomForSequenceClassification": ["logits"],
    "BloomForQuestionAnswering": ["start_logits", "end_logits"],
}
PAD = 3  # by it Hugging Face's sequence classifier finds the last real piece
PADDINGS = ["none", "left", "right"]


@pytest.fixture
def make_twins(randomize):
    def make(cls, fields):
        fields = {"num_labels": 5, "pad_token_id": PAD, **fields}
        theirs = getattr(transformers, cls)(transformers.BloomConfig(**fields))
        # Larger weights let four post-norm blocks make 1e-5 of float32 rounding, in either model.
        randomize(theirs, std=0.15).eval()
        ours = getattr(spacy_bloom, cls)(BloomConfig(**fields)).eval()
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs

    return make


def draw_batch(fields, padding, *, length=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(PAD + 1, fields["vocab_size"], (3, length), generator=generator)
    mask = torch.ones_like(ids)
    for row, n in enumerate((0, 4, length - 2)):
        if padding == "left":
            mask[row, :n] = 0
        elif padding == "right" and n:
            mask[row, -n:] = 0
    return ids.masked_fill(mask == 0, PAD), mask


def draw_labels(cls, ids, mask):
    """The arguments that make a class return a loss."""
    generator = torch.Generator().manual_seed(7)
    if cls == "BloomForSequenceClassification":
        return {"labels": torch.randint(5, ids.shape[:1], generator=generator)}
    if cls == "BloomForQuestionAnswering":
        names = ("start_positions", "end_positions")
        return {name: torch.randint(ids.shape[1] + 3, ids.shape[:1], generator=generator) for name in names}
    labels = torch.randint(5, ids.shape, generator=generator) if cls != "BloomForCausalLM" else ids.clone()
    return {"labels": labels.masked_fill(mask == 0, -100)}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("cls", sorted(CLASSES))
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
    for ours, theirs in zip(results(output, cls, mask), results(expected, cls, mask), strict=True):
        assert difference(ours, theirs) < 1e-5


def results(output, cls, mask):
    """What a class computes: of the real pieces, or one row for each text."""
    found = [getattr(output, name) for name in CLASSES[cls]]
    return found if cls == "BloomForSequenceClassification" else [x[mask.bool()] for x in found]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("cls", sorted(CLASSES))
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
            losses.append(model(ids, attention_mask=mask, **draw_labels(cls, ids, mask)).loss)
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
        if cls == "BloomForQuestionAnswering" and name.endswith(("ln_f.bias", "qa_outputs.bias")):
            # They move the scores of all pieces alike.
            assert max(ours_grad.abs().max(), theirs_grad.abs().max()) < 1e-6, name
            continue
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


@pytest.mark.parametrize(
    "num_labels, problem_type, labels",
    [
        (1, None, [0.5, -2.0, 3.0]),
        (1, "regression", [[0.5], [-2.0], [3.0]]),
        (3, "regression", [[0.5, 1.0, 2.0], [0.0, -1.0, 1.0], [2.0, 2.0, 2.0]]),
        (3, None, [2, 0, 1]),
        (3, "single_label_classification", [1, -100, 1]),
        (3, None, [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]),
        (1, "multi_label_classification", [[0.0], [1.0], [1.0]]),
    ],
)
@pytest.mark.parametrize("padding", PADDINGS)
def test_losses_of_a_sequence_classifier(make_twins, difference, padding, num_labels, problem_type, labels):
    fields = {**FIELDS, "num_labels": num_labels, "problem_type": problem_type}
    ours, theirs = make_twins("BloomForSequenceClassification", fields)
    ids, mask = draw_batch(fields, padding)
    options = dict(attention_mask=mask, labels=torch.tensor(labels))
    output, expected = ours(ids, **options), theirs(ids, **options)
    assert difference(output.loss, expected.loss) < 1e-5
    assert difference(ours(ids).logits, theirs(ids).logits) < 1e-5  # pads told by their id
    output.loss.backward()
    expected.loss.backward()
    assert difference(ours.score.weight.grad, theirs.score.weight.grad) < 1e-5


def test_inputs_embeds(make_twins, difference):
    for cls in CLASSES:
        ours, theirs = make_twins(cls, FIELDS)
        decoder = ours if cls == "BloomModel" else ours.transformer
        ids, mask = draw_batch(FIELDS, "left")
        embeds = decoder.word_embeddings(ids).detach()
        output = ours(inputs_embeds=embeds, attention_mask=mask)
        expected = theirs(inputs_embeds=embeds, attention_mask=mask)
        for x, y in zip(results(output, cls, mask), results(expected, cls, mask), strict=True):
            assert difference(x, y) < 1e-5


def test_bfloat16_is_closer_to_float32_than_hugging_faces(make_twins, twin_config):
    """Hugging Face rounds ALiBi and softmax to bfloat16: at 300 positions that shows in any geometry."""
    for cls in CLASSES:
        ours, theirs = make_twins(cls, twin_config)
        batch = draw_batch(twin_config, "left", length=300)
        exact = outputs(ours, *batch)
        errors = [(outputs(m.bfloat16(), *batch).float() - exact).abs().mean() for m in (ours, theirs)]
        assert errors[0] < errors[1], cls


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("cls", sorted(CLASSES))
def test_cached_equals_uncached(make_twins, difference, twin_config, cls, padding):
    ours, _ = make_twins(cls, twin_config)
    ids, mask = draw_batch(twin_config, padding)
    with torch.no_grad():
        whole, cache, done, parts = ours(ids, attention_mask=mask), KeyValueCache(ours.config.n_layer), 0, []
        for new in (5, 1, 2, 3):
            part = ids[:, done : done + new]
            done += new
            parts.append(ours(part, attention_mask=mask[:, :done], past_key_values=cache))
    for name, expected in zip(CLASSES[cls], results(whole, cls, mask), strict=True):
        if cls == "BloomForSequenceClassification":
            # The rows whose last real piece is among the last that were fed.
            rows = mask[:, -3:].any(dim=1)
            assert difference(parts[-1].logits[rows], expected[rows]) < 1e-5
        else:
            found = torch.cat([getattr(part, name) for part in parts], dim=1)
            assert difference(found[mask.bool()], expected) < 1e-5


def test_long_texts(make_twins, difference):
    fields = dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)
    ours, theirs = make_twins("BloomModel", fields)
    ids, mask = draw_batch(fields, "left", length=600)
    with torch.no_grad():
        states = ours(ids, attention_mask=mask).last_hidden_state[mask.bool()]
        expected = theirs(ids, attention_mask=mask).last_hidden_state[mask.bool()]
    assert difference(states, expected) < 1e-5


FIELDS = dict(vocab_size=97, hidden_size=24, n_layer=2, n_head=3)
HEADS = {
    "BloomForTokenClassification": "classifier.weight",
    "BloomForSequenceClassification": "score.weight",
    "BloomForQuestionAnswering": "qa_outputs.weight",
}
LAYOUTS = {
    "safetensors": ({}, "model.safetensors"),
    "shards": (dict(max_shard_size="20KB"), "model.safetensors.index.json"),
    "bin": (dict(safe_serialization=False), "pytorch_model.bin"),
    "bin-shards": (dict(safe_serialization=False, max_shard_size="20KB"), "pytorch_model.bin.index.json"),
}


def outputs(model, ids, mask):
    with torch.no_grad():
        output = model(ids, attention_mask=mask)
    return torch.cat([x.flatten() for x in results(output, type(model).__name__, mask)])


@pytest.mark.parametrize("cls", sorted(CLASSES))
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


@pytest.mark.parametrize("saved", sorted(CLASSES))
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_with_and_without_the_prefix(tmp_path, make_twins, difference, layout, saved):
    _, theirs = make_twins(saved, FIELDS)
    theirs.save_pretrained(tmp_path, **LAYOUTS[layout][0])
    decoder = theirs if saved == "BloomModel" else theirs.transformer
    batch = draw_batch(FIELDS, "right")
    expected = outputs(decoder, *batch)
    assert difference(outputs(spacy_bloom.BloomModel.from_pretrained(tmp_path), *batch), expected) < 1e-5
    language_model = spacy_bloom.BloomForCausalLM.from_pretrained(tmp_path)
    states = expected.view(-1, FIELDS["hidden_size"])
    expected_logits = states @ decoder.word_embeddings.weight.detach().T
    assert difference(outputs(language_model, *batch), expected_logits.flatten()) < 1e-5
    for cls in set(HEADS) - {saved}:
        with pytest.warns(BloomWarning, match=HEADS[cls]):
            other = getattr(spacy_bloom, cls).from_pretrained(tmp_path)
        assert difference(outputs(other.transformer, *batch), expected) < 1e-5


@pytest.mark.parametrize("max_shard_size", [2 * 1024**3, 20_000])
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
@pytest.mark.parametrize("cls", sorted(CLASSES))
def test_what_we_write(tmp_path, make_twins, difference, cls, dtype, max_shard_size):
    ours, _ = make_twins(cls, FIELDS)
    ours.save_pretrained(tmp_path, dtype=dtype, max_shard_size=max_shard_size)
    assert (tmp_path / "model.safetensors").exists() == (max_shard_size > 20_000)
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
