"""The code on the page runs, and does what the page shows."""

import pytest

from spacy_bloom.cli.pages.demo_code import (
    answers_code,
    categories_code,
    continuation_code,
    entities_code,
    surprisal_code,
)

TEXT = 'L\'alcaldessa "Marta" va anar\na Girona.'


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (entities_code("xx_bloom_tiny_demo", TEXT), "'Girona'"),
        (categories_code("xx_bloom_tiny_demo", TEXT), ""),
        (answers_code("xx_bloom_tiny_qa", TEXT, "On va anar?"), "["),
        (continuation_code("tiny-bloom", "The river", {"num_beams": 2}), ""),
        (surprisal_code("tiny-bloom", TEXT), "'Girona'"),
    ],
)
def test_code_runs(code, shown, capsys):
    exec(code, {})
    output = capsys.readouterr().out
    assert output and shown in output


def test_another_pipeline_is_loaded_by_its_name():
    assert "spacy.load('my/pipeline')" in entities_code("my/pipeline", "x")
    assert "bundled_path" not in entities_code("my/pipeline", "x")
