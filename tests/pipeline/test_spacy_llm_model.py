import shutil
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config, load_config_from_str

from spacy_bloom import BloomConfig, BloomForCausalLM
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.pipeline import spacy_llm_model
from spacy_bloom.pipeline.spacy_llm_model import create_spacy_llm_model

pytest.importorskip(
    "spacy_llm", reason="spacy-llm is not installed; python -m pip install 'spacy-bloom[llm]'"
)
from spacy_llm.util import assemble

ROOT = Path(__file__).parents[2]
CONFIG = """
[nlp]
lang = "xx"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"
save_io = true

[components.llm.task]
@llm_tasks = "{task}"

[components.llm.model]
@llm_models = "spacy-bloom.Bloom.v1"
name = "{checkpoint}"
max_batch_items = 400

# A random model's best pieces are the same for every prompt
[components.llm.model.config]
max_new_tokens = 6
do_sample = true
seed = 3
"""
OPTIONS = {"max_new_tokens": 6, "do_sample": True, "seed": 3}
TASKS = {
    "spacy.TextCat.v3": {"labels": ["sports", "weather"]},
    "spacy.Summarization.v1": {},
    "spacy.NER.v3": {"labels": ["PER", "LOC"]},
    "spacy.Raw.v1": {},
}
TEXTS = [
    "Ana lives in Lima near Rio .",
    "今天 Wei 在 Paris 。",
    " \n ",
    "A </s> <pad> b",
    "No names here",
    "x",
]
LONG = "No names " * 30


@pytest.fixture
def make(checkpoint):
    """A function that makes a pipeline from the text of a config."""

    def make_pipeline(task="spacy.Raw.v1", name=None, **model):
        config = load_config_from_str(CONFIG.format(task=task, checkpoint=name or checkpoint))
        config["components"]["llm"]["task"].update(TASKS[task])
        config["components"]["llm"]["model"].update(model)
        return spacy.util.load_model_from_config(config, auto_fill=True)

    return make_pipeline


@pytest.fixture
def calls(monkeypatch):
    """The prompts of every call of generate_stream, as ids."""
    found = []
    stream = BloomForCausalLM.generate_stream

    def spy(model, prompts, **options):
        found.append([list(prompt) for prompt in prompts])
        return stream(model, prompts, **options)

    monkeypatch.setattr(BloomForCausalLM, "generate_stream", spy)
    return found


def executor(nlp, name="llm"):
    return nlp.get_pipe(name)._model


def io(docs):
    """The prompts and the responses of each Doc."""
    return [(doc.text, dict(doc.user_data["llm_io"]["llm"])) for doc in docs]


def responses(docs):
    return [response for _, found in io(docs) for response in found["response"]]


# In a pipeline


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_runs(make, task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # spacy-llm warns where types do not fit, and without a context length
        nlp = make(task)
    expected = io(nlp(text) for text in TEXTS)
    assert [text for text, _ in expected] == TEXTS
    assert len({str(found["response"]) for _, found in expected}) > 3
    for batch_size in (4, 100):
        assert io(nlp.pipe(TEXTS, batch_size=batch_size)) == expected


def test_responses_are_what_generate_gives(make):
    nlp = make()
    doc = nlp(TEXTS[0])
    (prompt,) = doc.user_data["llm_io"]["llm"]["prompt"]
    model, tokenizer = executor(nlp).shim.module, executor(nlp).shim.tokenizer
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    new = model.generate(ids, tokenizer=tokenizer, top_k=0, **OPTIONS)[0, ids.shape[1] :]
    assert doc._.llm_reply == tokenizer.decode(new, skip_special_tokens=True) != ""


def test_a_batch_is_generated_together(make, calls):
    nlp = make(max_batch_items=10_000)
    list(nlp.pipe(TEXTS))
    assert [len(prompts) for prompts in calls] == [len(TEXTS)]
    assert [len(prompt) for prompt in calls[0]] == sorted(map(len, calls[0]), reverse=True)
    calls.clear()
    list(make(max_batch_items=1).pipe(TEXTS))
    assert [len(prompts) for prompts in calls] == [1] * len(TEXTS)


def test_prompts_are_data(make, calls):
    nlp = make()
    nlp("A </s> <pad> b")
    tokenizer = executor(nlp).shim.tokenizer
    ((ids,),) = calls
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert "A </s> <pad> b" in tokenizer.decode(ids)


def test_two_processes(make, ended_processes):
    nlp = make("spacy.Raw.v1")
    assert responses(nlp.pipe(TEXTS, n_process=2, batch_size=2)) == responses(nlp.pipe(TEXTS))


@pytest.mark.parametrize("task", ["spacy.TextCat.v3", "spacy.NER.v3"])
def test_a_response_that_is_no_answer_leaves_the_doc_usable(make, task):
    nlp = make(task)
    nlp.add_pipe("sentencizer")
    docs = list(nlp.pipe(TEXTS))
    assert [doc.text for doc in docs] == TEXTS
    assert not any(doc.ents for doc in docs) and not any(any(doc.cats.values()) for doc in docs)
    assert all(len(list(doc.sents)) > 0 for doc in docs)
    assert any(responses(docs))  # there was something to be parsed


def test_a_response_that_is_an_answer(make, monkeypatch):
    """What the random model responds to a prompt is made a label, and the prompt a template."""
    doc = make()(TEXTS[0])
    label = doc._.llm_reply.strip()
    assert label and "," not in label
    (template,) = doc.user_data["llm_io"]["llm"]["prompt"]
    task = {"labels": [label, "other"], "template": template, "exclusive_classes": True}
    monkeypatch.setitem(TASKS, "spacy.TextCat.v3", task)
    assert make("spacy.TextCat.v3")(TEXTS[0]).cats == {label: 1.0, "other": 0.0}


def test_empty_docs(make):
    docs = list(make().pipe(["", "a", ""]))
    assert [doc.text for doc in docs] == ["", "a", ""]
    assert docs[0]._.llm_reply == docs[2]._.llm_reply


# Shards


def test_long_docs_are_cut_where_the_context_ends(make, calls):
    nlp = make(context_length=20, max_batch_items=10_000)
    docs = list(nlp.pipe([LONG, "x"]))
    prompts = [doc.user_data["llm_io"]["llm"]["prompt"] for doc in docs]
    assert len(prompts[0]) > 2 and len(prompts[1]) == 1
    assert [len(found) for found in calls] == [len(prompts[0]) + 1]  # shards of all Docs together
    assert docs[0].text.split() == LONG.split()
    assert docs[0]._.llm_reply == " ".join(docs[0].user_data["llm_io"]["llm"]["response"])
    assert len(make(context_length=2048)(LONG).user_data["llm_io"]["llm"]["prompt"]) == 1


def test_without_a_context_length_nothing_is_cut(make):
    with pytest.warns(UserWarning, match="model does not provide context length"):
        nlp = make(context_length=None)
    assert len(nlp(LONG).user_data["llm_io"]["llm"]["prompt"]) == 1


# Weights


def test_loaded_on_first_use_and_held_once(make, checkpoint, add_transformer):
    nlp = make()
    assert not executor(nlp).shim.loaded
    model = {"@llm_models": "spacy-bloom.Bloom.v1", "name": checkpoint}
    nlp.add_pipe("llm", "second", config={"task": {"@llm_tasks": "spacy.Raw.v1"}, "model": model})
    add_transformer(nlp)
    nlp("a")
    shims = [
        executor(nlp).shim,
        executor(nlp, "second").shim,
        nlp.get_pipe("bloom_transformer").model.shims[0],
    ]
    decoders = [shims[0].module.transformer, shims[1].module.transformer, shims[2].module]
    assert len({decoder.word_embeddings.weight.data_ptr() for decoder in decoders}) == 1


@pytest.fixture
def own_checkpoint(checkpoint, tmp_path, randomize):
    """A copy of the checkpoint with other weights."""
    path = tmp_path / "own"
    shutil.copytree(checkpoint, path)
    randomize(BloomForCausalLM(BloomConfig.from_json_file(path / "config.json")), seed=7).save_pretrained(
        path
    )
    return path


@pytest.mark.parametrize("task", ["spacy.Raw.v1", "spacy.TextCat.v3"])
def test_saved_pipelines_need_no_checkpoint(make, own_checkpoint, tmp_path, task):
    """Its options of generation are saved too."""
    plain = io(make(task, name=str(own_checkpoint)).pipe(TEXTS))
    model = BloomForCausalLM.from_pretrained(own_checkpoint)
    model.generation_config = GenerationConfig(repetition_penalty=1.8, no_repeat_ngram_size=2)
    model.save_pretrained(own_checkpoint)
    nlp = make(task, name=str(own_checkpoint))
    expected = io(nlp.pipe(TEXTS))
    assert expected != io(make(task).pipe(TEXTS)) and expected != plain
    nlp.to_disk(tmp_path / "nlp")
    content = nlp.to_bytes()
    shutil.rmtree(own_checkpoint)
    assert io(spacy.load(tmp_path / "nlp").pipe(TEXTS)) == expected
    assert io(spacy.util.load_model_from_config(nlp.config).from_bytes(content).pipe(TEXTS)) == expected


def test_half_precision_on_disk(make, tmp_path):
    sizes = []
    for storage_dtype in (None, "float16"):
        make(storage_dtype=storage_dtype).to_disk(tmp_path / str(storage_dtype))
        sizes.append((tmp_path / str(storage_dtype) / "llm/model/model.safetensors").stat().st_size)
    assert abs(sizes[1] / sizes[0] - 0.5) < 0.05


# The options of generation


def test_a_stop_string_is_no_part_of_the_response(make):
    free = responses([make()(TEXTS[0])])[0]
    stop = next(a + b for a, b in pairwise(free) if "\ufffd" not in a + b)
    nlp = make(config={**OPTIONS, "stop_strings": ["never there", stop]})
    assert responses([nlp(TEXTS[0])]) == [free[: free.index(stop)]] != [free]


def test_greedy_unless_it_is_to_be_drawn(make):
    greedy = make(config={"max_new_tokens": 6, "do_sample": False})
    doc = greedy(TEXTS[0])
    model, tokenizer = executor(greedy).shim.module, executor(greedy).shim.tokenizer
    ids = tokenizer(doc.user_data["llm_io"]["llm"]["prompt"][0], return_tensors="pt")["input_ids"]
    new = model.generate(ids, tokenizer=tokenizer, max_new_tokens=6)[0, ids.shape[1] :]
    assert doc._.llm_reply == tokenizer.decode(new, skip_special_tokens=True)
    assert doc._.llm_reply != make()(TEXTS[0])._.llm_reply


def test_options_take_precedence_over_the_checkpoints(make, own_checkpoint):
    model = BloomForCausalLM.from_pretrained(own_checkpoint)
    model.generation_config = GenerationConfig(max_length=5, num_return_sequences=2, num_beams=2)
    model.save_pretrained(own_checkpoint)
    beams = responses(make(name=str(own_checkpoint)).pipe(TEXTS))  # a prompt is longer than max_length
    nlp = make(name=str(own_checkpoint), config={"max_new_tokens": 6, "num_beams": 1})
    assert responses(nlp.pipe(TEXTS)) != beams and len(beams) == len(TEXTS)
    tokenizer = executor(nlp).shim.tokenizer
    assert all(len(tokenizer.encode(text)) <= 20 for text in beams)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(config={"max_tokens": 5}), "no option 'max_tokens'. Did you mean max_new_tokens"),
        (dict(config={"temperature": 0}), "expected temperature to be a finite number"),
        (
            dict(config={"max_length": 50}),
            "max_length=50 among the options of generation. It counts the prompt",
        ),
        (dict(config={"num_return_sequences": 2, "do_sample": True}), "num_return_sequences=2"),
        (dict(config={"seed": [1, 2]}), "Expected seed to be one integer or None, got"),
        (dict(max_batch_items=0), "Expected max_batch_items to be an integer of 1 or more, got 0"),
        (dict(context_length=0), "Expected context_length to be an integer of 1 or more, got 0"),
        (dict(dtype="int8"), "Expected dtype to be one of"),
    ],
)
def test_settings_are_checked_before_anything_is_loaded(settings, message):
    with pytest.raises((ConfigError, InputError), match=message):
        create_spacy_llm_model("/nowhere", **settings)


def test_errors_reach_the_user_from_a_config(make):
    with pytest.raises(ConfigError, match="no option 'beams'"):
        make(config={"beams": 5})


def test_no_prompts():
    model = create_spacy_llm_model()
    assert model([]) == [] and model([[], []]) == [[], []]


# The registry and the config that is shipped


def test_spacy_llm_finds_it():
    assert spacy.registry.get("llm_models", "spacy-bloom.Bloom.v1") is create_spacy_llm_model


WITHOUT_SPACY_LLM = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "spacy_llm":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import catalogue
# The factory of spacy-llm itself is absent with it.
catalogue.AVAILABLE_ENTRY_POINTS = {
    group: [entry for entry in catalogue.AVAILABLE_ENTRY_POINTS.select(group=group) if "spacy_llm." not in entry.value]
    for group in catalogue.AVAILABLE_ENTRY_POINTS.groups
}
import spacy
nlp = spacy.blank("xx")
nlp.add_pipe("bloom_transformer")
nlp("a")
for name in spacy.registry.get_registry_names():
    getattr(spacy.registry, name).get_all()  # loads every entry point
from spacy_bloom.pipeline.spacy_llm_model import create_spacy_llm_model
print(create_spacy_llm_model()([["a"]]))
"""


def test_the_package_works_without_spacy_llm(tmp_path, python_torch):
    done = python_torch.run("-c", WITHOUT_SPACY_LLM, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[['")


def test_the_shipped_config(tmp_path):
    # tiny-bloom would rather end the text than name a topic
    longer = {"components.llm.model.config.min_new_tokens": 4}
    nlp = assemble(ROOT / "configs" / "llm.cfg", overrides=longer)
    texts = ["The match ended 2:1.", "今天天气很好", "x"]
    docs = list(nlp.pipe(texts))
    assert [set(doc.cats) for doc in docs] == [{"sports", "politics", "weather"}] * 3
    assert not any("\n" in response for response in responses(docs))
    assert any(responses(docs))
    model = load_config(ROOT / "configs" / "llm.cfg")["components"]["llm"]["model"]
    assert model["max_batch_items"] is None
    assert model["context_length"] == spacy_llm_model.CONTEXT_LENGTH
    nlp.to_disk(tmp_path / "nlp")
    assert [doc.text for doc in spacy.load(tmp_path / "nlp").pipe(texts)] == texts
