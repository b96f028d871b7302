"""Configs that are put together are valid, equal what the repository ships, and fit checkpoint and hardware."""

from pathlib import Path

import pytest
from spacy import util
from spacy.schemas import ConfigSchemaTraining
from spacy.util import registry

from spacy_bloom.cli.train.training_config import choose_tasks, make_config
from spacy_bloom.cli.train.training_tasks import TASKS
from spacy_bloom.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
TINY, BASE, LARGEST = 192, 1024, 4096  # hidden sizes
SHIPPED = {
    "token_classification": ["ner"],
    "tags_and_syntax": ["pos", "parser"],
    "text_classification": ["textcat"],
    "entities_and_categories": ["ner", "textcat"],
    "question_answering": ["qa"],
}


def make(*names, hidden_size=TINY, **options):
    return make_config(choose_tasks(names), hidden_size=hidden_size, **options)


@pytest.mark.parametrize("name", SHIPPED)
def test_equals_the_shipped_config(name):
    shipped = util.load_model_from_config(util.load_config(CONFIGS / f"{name}.cfg"), auto_fill=True).config
    assert make(*SHIPPED[name]) == shipped


def test_every_shipped_training_config_is_compared():
    trained = {
        path.stem for path in CONFIGS.glob("*.cfg") if "[training.optimizer]" in path.read_text("utf8")
    }
    assert trained == set(SHIPPED)


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_valid_on_every_hardware(name, gpu, tmp_path):
    make(name, gpu=gpu).to_disk(tmp_path / "config.cfg")
    written = util.load_config(tmp_path / "config.cfg")
    nlp = util.load_model_from_config(written, auto_fill=True, validate=True)
    assert nlp.config == written  # nothing was left to fill in
    assert TASKS[name].name in nlp.pipe_names
    assert ("transformer" in nlp.pipe_names) == TASKS[name].shared
    training = written.interpolate()["training"]
    assert training["gpu_allocator"] == ("pytorch" if gpu else None)
    assert registry.resolve(training, schema=ConfigSchemaTraining)["max_steps"] >= 2000
    assert sum(weight or 0.0 for weight in training["score_weights"].values()) == pytest.approx(1.0)


def test_all_that_go_together():
    names = ["ner", "spans", "tag", "pos", "parser", "textcat_multilabel", "qa"]
    config = make(*reversed(names))
    assert config["nlp"]["pipeline"] == ["transformer", *(TASKS[name].name for name in names)]
    assert config["training"]["batcher"]["size"] == 500 and config["training"]["max_steps"] == 4000
    assert config["nlp"]["batch_size"] == 64
    weights = config["training"]["score_weights"]
    assert [weights[key] for key in ("ents_f", "spans_sc_f", "tag_acc", "pos_acc", "cats_score")] == [
        0.14
    ] * 5
    assert not config["components"]["bloom_text_classifier"]["exclusive"]


def test_hardware_changes_batches():
    cpu, gpu = make("ner"), make("ner", gpu=True)
    assert gpu["training"]["batcher"]["size"] == 2 * cpu["training"]["batcher"]["size"]
    budgets = [config["components"]["transformer"]["max_batch_items"] for config in (cpu, gpu)]
    assert budgets == [1024, 4096]
    dtypes = [config["components"]["transformer"]["model"]["dtype"] for config in (cpu, gpu)]
    assert dtypes == ["float32", "float32"]


def test_large_checkpoints_learn_slowly_in_small_parts():
    def settings(hidden_size, gpu=False):
        config = make("ner", "qa", hidden_size=hidden_size, gpu=gpu)
        training = config["training"]
        models = [config["components"][name]["model"] for name in ("transformer", "bloom_question_answerer")]
        assert (
            len({tuple(model[key] for key in ("dtype", "gradient_checkpointing")) for model in models}) == 1
        )
        return (
            training["optimizer"]["learn_rate"]["initial_rate"],
            training["accumulate_gradient"],
            models[0]["dtype"],
            models[0]["gradient_checkpointing"],
        )

    assert settings(TINY) == (0.001, 1, "float32", False)
    assert settings(BASE) == (0.00005, 4, "float32", False)
    assert settings(BASE, gpu=True) == (0.00005, 4, "bfloat16", False)
    assert settings(LARGEST, gpu=True) == (0.00005, 4, "bfloat16", True)


def test_accuracy_rounds_nothing():
    config = make("ner", hidden_size=BASE, gpu=True, accuracy=True)
    model = config["components"]["transformer"]["model"]
    assert (model["dtype"], model["storage_dtype"], model["context"]) == ("float32", "float32", 256)
    assert config["training"]["max_steps"] == 4000
    assert make("qa", accuracy=True)["components"]["bloom_question_answerer"]["model"]["context"] == 192


def test_language_and_checkpoint():
    english = make("ner", lang="en", checkpoint="owner/some-bloom")
    assert english["nlp"]["lang"] == "en"
    assert english["nlp"]["tokenizer"] == {"@tokenizers": "spacy.Tokenizer.v1"}
    assert english["paths"]["checkpoint"] == "owner/some-bloom"
    assert english["components"]["transformer"]["model"]["name"] == "${paths.checkpoint}"
    assert make("ner", lang="ja")["nlp"]["tokenizer"]["@tokenizers"].startswith("spacy-bloom.")


def test_parts_are_not_changed_by_their_use():
    first = make("ner", "qa")
    make("ner", "qa", hidden_size=LARGEST, gpu=True, accuracy=True)
    assert make("ner", "qa") == first


def test_choice_of_tasks():
    assert choose_tasks(["textcat, ner", "ner"]) == ["ner", "textcat"]
    with pytest.raises(ConfigError, match="'nerr', 'x'"):
        choose_tasks(["ner", "x,nerr"])
    for nothing in ([], [""], [","]):
        with pytest.raises(ConfigError, match="Expected one or more of the tasks ner, spans"):
            choose_tasks(nothing)


@pytest.mark.parametrize(
    "pair",
    [("textcat", "textcat_multilabel"), ("tag", "tagger"), ("pos", "morphologizer"), ("parser", "senter")],
)
def test_tasks_that_write_the_same(pair):
    with pytest.raises(ConfigError, match=f"'{pair[0]}' and '{pair[1]}' both write"):
        choose_tasks(pair)
