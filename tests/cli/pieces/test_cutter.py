"""Tokens and windows are those of the checkpoint or the pipeline."""

import pytest
import spacy

from spacy_bloom.cli.pieces.cutter import find_bloom, find_cutter
from spacy_bloom.errors import ConfigError, InputError
from spacy_bloom.thinc_layers.pieces.windows import WindowSettings, cut_docs
from spacy_bloom.thinc_layers.transformer_model import _windows


def test_a_pipeline_has_its_own_tokens_and_windows(tmp_path, checkpoint):
    nlp = spacy.blank("en")
    nlp.add_pipe("bloom_transformer", config={"model": {"name": checkpoint, "window": 20, "context": 15}})
    nlp.to_disk(tmp_path / "pipeline")
    cutter = find_cutter(str(tmp_path / "pipeline"))
    assert (cutter.windows, cutter.nlp.lang) == (WindowSettings(20, 15), "en")
    assert len(cutter.tokenizer) == len(find_bloom(nlp)[0].tokenizer) < 12_288
    assert find_cutter(str(tmp_path / "pipeline"), window=12).windows.context == 3
    with pytest.raises(InputError, match="leave --lang out"):
        find_cutter(str(tmp_path / "pipeline"), lang="en")


def test_windows_of_a_bidirectional_pipeline_are_its_own(tmp_path, checkpoint):
    nlp = spacy.blank("en")
    settings = {"name": checkpoint, "window": 16, "context": 4, "attention": "bidirectional"}
    nlp.add_pipe("bloom_transformer", config={"model": settings})
    nlp.to_disk(tmp_path / "pipeline")
    cutter = find_cutter(str(tmp_path / "pipeline"))
    text = "The river was high. " * 8
    (cut,) = cutter.cut([text])
    model = nlp.get_pipe("bloom_transformer").model
    model.initialize()
    assert cut.windows == _windows(model, cut_docs(cutter.tokenizer, [nlp.make_doc(text)]))
    (tmp_path / "x.txt").write_text(text, encoding="utf8")
    counter, _ = cutter.count(tmp_path / "x.txt", silent=True)
    assert counter.groups["x"].windows == len(cutter.cut([text.strip()])[0].windows) > 3
    assert "on both sides" in cutter.about
    with pytest.raises(ConfigError, match="context < window / 2"):
        find_cutter(str(tmp_path / "pipeline"), window=16, context=8)


def test_the_bloom_of_other_components(checkpoint):
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe(
        "bloom_question_answerer",
        config={"model": {"name": checkpoint, "window": 30, "context": 10, "attention": "bidirectional"}},
    )
    shim, windows = find_bloom(nlp)
    assert shim.weights.name == checkpoint
    # an answerer's windows have their context before them, whatever it attends to
    assert windows == WindowSettings(30, 10, both_sides=False)
    nlp = spacy.blank("xx")
    nlp.add_pipe("bloom_text_generator", config={"model": {"name": checkpoint}, "prompt": "{{ doc.text }}"})
    assert find_bloom(nlp)[1] is None  # it reads no windows


def test_languages_of_a_checkpoint():
    tokens = {
        lang: [t.text for t in find_cutter("tiny-bloom", lang).nlp("can't 北京")]
        for lang in ("en", "xx", "zh")
    }
    assert tokens["en"] == ["ca", "n't", "北京"] and tokens["xx"][-2:] == tokens["zh"][-2:] == ["北", "京"]


def test_a_pipeline_without_bloom(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(InputError, match="Expected a pipeline with a BLOOM component, got no components"):
        find_cutter(str(tmp_path / "blank"))
    (tmp_path / "blank" / "tokenizer").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        find_cutter(str(tmp_path / "blank"))


def test_windows_are_checked():
    with pytest.raises(ConfigError):
        find_cutter("tiny-bloom", window=10, context=-1)
