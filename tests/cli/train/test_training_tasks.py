import pytest
from spacy import registry, util

import spacy_bloom  # noqa: F401
from spacy_bloom.cli.train.training_tasks import COMMON, TASKS, TRANSFORMER, TRANSFORMER_CONFIG


def architectures(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "@architectures":
                yield inner
            yield from architectures(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from architectures(inner)


def components(task):
    parts = vars(TASKS[task]).values()
    return [part for part in parts if isinstance(part, dict)]


@pytest.mark.parametrize("task", TASKS)
def test_every_architecture_of_a_task_is_registered(task):
    found = list(architectures(components(task)))
    assert found
    for name in found:
        assert registry.has("architectures", name)


def test_the_transformer_is_where_debug_model_looks_for_it():
    assert TRANSFORMER == "transformer" and TRANSFORMER_CONFIG["factory"] == "bloom_transformer"


def test_no_value_of_what_tasks_share_crosses_sections():
    """spaCy resolves the optimizer's section alone; only paths and the system's settings are there for all."""
    config = util.load_config_from_str(COMMON, interpolate=False)
    assert {"paths", "system", "nlp", "components", "training"} <= set(config)
    assert "${" not in str(config["training"]["optimizer"])
