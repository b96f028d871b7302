import subprocess
from pathlib import Path

import pytest

from training import train_once


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
    assert commands[1][-3:] == ["--paths.train=a", '--reuse={"max_mb": 1}', "--learns=false"]
