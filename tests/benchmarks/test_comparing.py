"""Every pipeline that is compared can be made, before the first is trained for hours."""

from pathlib import Path

import ner
import pytest
import syntax
import textcat
from comparing import SYSTEMS
from spacy import util

COMPARISONS = {"ner": ner.NER, "syntax": syntax.SYNTAX, "textcat": textcat.TEXTCAT}


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("system", [*SYSTEMS, "baseline"])
def test_configs_are_valid(name, system):
    comparison = COMPARISONS[name]
    config, options = (
        comparison.baseline_config,
        {**comparison.options, "paths.train": "a", "training.max_epochs": 1},
    )
    if system != "baseline":
        config = comparison.config
        options |= {**SYSTEMS[system].settings, "paths.checkpoint": "tiny-bloom"}
    assert Path(config).is_file()
    nlp = util.load_model_from_config(
        util.load_config(config, overrides=options), auto_fill=True, validate=True
    )
    assert nlp.pipe_names == nlp.config["nlp"]["pipeline"]
