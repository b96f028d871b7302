import math
import subprocess
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from training import cpu_minutes, thin_out, train_once


def test_a_training_that_was_cut_off_is_done_again(tmp_path, monkeypatch):
    commands = []

    def run(command, check):
        commands.append(command)
        output = Path(command[command.index("--output") + 1])
        (output / "model-last").mkdir(parents=True)  # as spacy train does at every evaluation
        if len(commands) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", run)
    output, options = tmp_path / "cnn", {"paths.train": Path("a"), "reuse": {"max_mb": 1}, "learns": False}
    with pytest.raises(KeyboardInterrupt):
        train_once(Path("x.cfg"), output, options)
    assert not output.exists()
    train_once(Path("x.cfg"), output, options)
    train_once(Path("x.cfg"), output, options)
    assert len(commands) == 2 and (output / "model-last").is_dir() and len(list(tmp_path.iterdir())) == 1
    assert cpu_minutes(output) >= 0
    with pytest.raises(
        SystemExit, match="was trained with\n  --paths.train=a .*\nand not with\n  --paths.train=b"
    ):
        train_once(Path("x.cfg"), output, {**options, "paths.train": "b"})
    assert commands[1][-3:] == ["--paths.train=a", '--reuse={"max_mb": 1}', "--learns=false"]


def test_pipelines_from_elsewhere_are_taken_as_they_are(tmp_path):
    train_once(Path("x.cfg"), tmp_path, {"paths.train": "a"})
    assert math.isnan(cpu_minutes(tmp_path)) and not list(tmp_path.iterdir())


def test_thinned_corpus_keeps_annotation(tmp_path):
    nlp = spacy.blank("xx")
    docs = [nlp(f"Text {i}") for i in range(7)]
    for i, doc in enumerate(docs):
        doc.cats, doc.user_data["number"] = {"a": float(i)}, i
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "all.spacy")
    thin_out(tmp_path / "all.spacy", 3, tmp_path / "part.spacy")
    part = list(DocBin(store_user_data=True).from_disk(tmp_path / "part.spacy").get_docs(nlp.vocab))
    assert [(doc.text, doc.cats["a"], doc.user_data["number"]) for doc in part] == [
        (f"Text {i}", float(i), i) for i in (0, 3, 6)
    ]
