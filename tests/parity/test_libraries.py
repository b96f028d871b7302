"""The libraries around: peft, transformers' pipelines, accelerate, torch's compiler and export, on both."""

import copy
import pickle

import accelerate
import peft
import pytest
import torch
import transformers

import spacy_bloom

TEXTS = ["The river was", "O café está frio, mas"]
LIBRARIES = (spacy_bloom, transformers)


@pytest.fixture
def both(directory_of):
    """A function from a class's name to (model, tokenizer) of this package and of transformers."""

    def load(name, **fields):
        path = directory_of(name, **fields)
        return [
            (getattr(lib, name).from_pretrained(path).eval(), lib.BloomTokenizerFast.from_pretrained(path))
            for lib in LIBRARIES
        ]

    return load


def assert_close(ours, theirs):
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_close(ours[name], theirs[name])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_close(mine, other)
    elif isinstance(theirs, (str, int)):
        assert ours == theirs
    else:
        assert float(ours) == pytest.approx(float(theirs), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("task, name, inputs, options", [
    ("text-generation", "BloomForCausalLM", [TEXTS], dict(max_new_tokens=6, do_sample=False)),
    ("text-classification", "BloomForSequenceClassification", [TEXTS], dict(top_k=None)),
    ("token-classification", "BloomForTokenClassification", [TEXTS], dict(aggregation_strategy="simple")),
    ("question-answering", "BloomForQuestionAnswering", [], dict(question="What was?", context="The river was high.")),
    ("feature-extraction", "BloomModel", [TEXTS], {}),
])  # fmt: skip
def test_pipelines(both, task, name, inputs, options):
    ours, theirs = (
        transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu")(*inputs, **options)
        for model, tokenizer in both(name)
    )
    assert_close(ours, theirs)


PEFT = {
    "lora": lambda: peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False),
    "prompt tuning": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "p-tuning": lambda: peft.PromptEncoderConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=8
    ),
    "prefix tuning": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "ia3": lambda: peft.IA3Config(task_type="CAUSAL_LM"),
}


@pytest.mark.parametrize("method", PEFT)
def test_peft(both, directory_of, tmp_path, method):
    results = []
    for model, tokenizer in both("BloomForCausalLM"):
        batch = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
        torch.manual_seed(1)
        adapted = peft.get_peft_model(model, PEFT[method]()).eval()
        loss = adapted(**batch, labels=batch.input_ids).loss
        loss.backward()
        learnt = {name: p.grad.norm().item() for name, p in adapted.named_parameters() if p.grad is not None}
        texts = [
            adapted.generate(**batch, max_new_tokens=5, do_sample=False, num_beams=n).tolist() for n in (1, 2)
        ]
        adapted.save_pretrained(tmp_path)
        base = type(model).from_pretrained(directory_of("BloomForCausalLM"))
        again = peft.PeftModel.from_pretrained(base, tmp_path).eval()
        assert again.generate(**batch, max_new_tokens=5, do_sample=False).tolist() == texts[0]
        results.append([loss.item(), learnt, texts])
    assert results[0][1]
    assert_close(*results)


def test_adapters_are_merged(both):
    results = []
    for model, tokenizer in both("BloomForSequenceClassification", num_labels=3):
        batch = tokenizer(TEXTS[:1], return_tensors="pt")
        torch.manual_seed(1)
        lora = peft.LoraConfig(task_type="SEQ_CLS", init_lora_weights=False)
        adapted = peft.get_peft_model(model, lora).eval()
        apart = adapted(**batch).logits
        results.append(adapted.merge_and_unload()(**batch).logits[0].tolist())
        assert torch.allclose(apart[0], torch.tensor(results[-1]), atol=1e-4)
    assert_close(*results)


def test_accelerate(both, tmp_path, directory_of):
    model, tokenizer = both("BloomForCausalLM")[0]
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    expected, options = model(**batch).logits, dict(max_new_tokens=4, do_sample=False)
    text, cpu = model.generate(**batch, **options), torch.device("cpu")
    with accelerate.init_empty_weights():
        empty = type(model)(model.config).eval()
    empty.tie_weights()
    for placed in (
        accelerate.dispatch_model(copy.deepcopy(model), {"": "cpu"}, force_hooks=True),
        accelerate.cpu_offload(copy.deepcopy(model), execution_device=cpu),
        accelerate.disk_offload(copy.deepcopy(model), tmp_path, execution_device=cpu),
        accelerate.load_checkpoint_and_dispatch(empty, directory_of("BloomForCausalLM"), device_map={"": "cpu"}),
    ):  # fmt: skip
        assert placed.device == cpu
        assert torch.allclose(placed(**batch).logits, expected, atol=1e-5)
        assert torch.equal(placed.generate(**batch, **options), text)


@pytest.mark.skipif(torch.__version__ < "2.5", reason="Its compiler does not trace our classes of outputs.")
def test_compiled_and_exported(both):
    model, tokenizer = both("BloomForCausalLM")[0]
    batch = dict(tokenizer(TEXTS[0], return_tensors="pt"))
    expected = model(**batch).logits
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(**batch).logits, expected, atol=1e-5)
    batch["use_cache"] = False
    exported = torch.export.export(model, (), batch, strict=False).module()
    assert torch.allclose(exported(**batch).logits, expected, atol=1e-5)


@torch.no_grad()
def test_copies_and_pickles(both):
    model, tokenizer = both("BloomForCausalLM")[0]
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    expected = model(**batch)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(copied) is type(model)
        assert torch.equal(copied(**batch).logits, expected.logits)
        assert copied.lm_head.weight is copied.transformer.word_embeddings.weight
        assert torch.equal(
            copied.generate(**batch, max_new_tokens=3), model.generate(**batch, max_new_tokens=3)
        )
    for copied in (copy.deepcopy(expected), pickle.loads(pickle.dumps(expected))):
        assert type(copied) is type(expected) and torch.equal(copied.logits, expected.logits)
    for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert copied(TEXTS).input_ids == tokenizer(TEXTS).input_ids


def test_state_dicts_with_and_without_the_prefix(both):
    (ours, tokenizer), (theirs, _) = both("BloomForCausalLM")
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    expected = theirs(**batch).logits
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for weights in (theirs.state_dict(), theirs.transformer.state_dict()):
        model = spacy_bloom.BloomForCausalLM(ours.config).eval()
        model.load_state_dict(weights, strict=False)
        assert torch.allclose(model(**batch).logits, expected, atol=1e-4)
        decoder = spacy_bloom.BloomModel(ours.config).eval()
        decoder.load_state_dict(weights, strict=False)
        assert torch.equal(decoder.ln_f.weight, theirs.transformer.ln_f.weight)
