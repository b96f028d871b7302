import json
import shutil

import pytest
import torch
from trainings import make_model, make_trainer

from spacy_bloom.errors import CheckpointError
from spacy_bloom.pretraining.sharded.state import files_of
from spacy_bloom.pretraining.state import find_state


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_three_ranks_resume_from_two(alone, report, kind):
    expected = alone[kind]["more"]
    for rank in report["three"]:
        assert rank[kind]["losses"][1:] == pytest.approx(expected["losses"][1:], abs=1e-5)
        assert rank[kind]["bpb"] == pytest.approx(expected["bpb"], abs=1e-5)


def test_two_ranks_resume_from_one_process(alone, report):
    for rank in report["two"]:
        found, expected = rank["from one process"]["losses"], alone["adamw"]["more"]["losses"]
        assert found[1:] == pytest.approx(expected[1:], abs=1e-5)


@pytest.mark.parametrize("kind", ["adamw", "muon", "untied"])
def test_one_process_resumes_from_two_ranks(alone, report, resume_alone, kind):
    trainer, found = resume_alone(kind)
    assert found["losses"][1:] == pytest.approx(alone[kind]["more"]["losses"][1:], abs=1e-5)
    # What it saves is a file, which takes the folder's place.
    assert [path.name for path in (trainer.output / "state").iterdir()] == ["state.safetensors"]


def test_a_state_is_tensors_and_a_position(report, out):
    folders = list((out / "adamw" / "state").iterdir())
    assert [folder.name for folder in folders] == ["ranks-00002"]
    files = sorted(path.name for path in folders[0].iterdir())
    assert len(files) == 3 and files[0] == "progress.json"
    assert all(name.endswith(".safetensors") for name in files[1:])
    assert json.loads((folders[0] / "progress.json").read_text())["step"] == 6


@pytest.fixture
def copied(report, out, tmp_path):
    shutil.copytree(out / "adamw for three", tmp_path / "run")
    return tmp_path / "run"


def test_a_state_that_is_not_whole_is_not_seen(copied, folder):
    whole = find_state(copied)
    shutil.copytree(whole, whole.with_name(".ranks-00003.partial"))
    assert find_state(copied) == whole


def test_of_two_states_the_newer_one_is_resumed(copied, out):
    shutil.copy(out / "of one, kept" / "state" / "state.safetensors", copied / "state")
    folder_of_three = find_state(copied)
    assert folder_of_three.is_dir()
    progress = json.loads((folder_of_three / "progress.json").read_text())
    (folder_of_three / "progress.json").write_text(json.dumps({**progress, "step": 1}))
    assert find_state(copied).name == "state.safetensors"


def test_damaged_states_are_refused(copied, folder):
    trainer = make_trainer("adamw", folder, copied, make_model("adamw"))
    with pytest.raises(CheckpointError, match="another model or optimizer.*lm_head.weight"):
        make_trainer("untied", folder, copied, make_model("untied")).resume()
    file = next(find_state(copied).glob("*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:100])
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        trainer.resume()
    file.unlink()
    with pytest.raises(CheckpointError):
        trainer.resume()
    (find_state(copied) / "progress.json").write_text("{")
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        trainer.resume()


def test_files_are_small_enough_to_be_put_together_in_memory():
    tensors = {
        name: torch.empty(n, 2, device="meta") for name, n in (("a", 10), ("b", 6), ("c", 40), ("d", 1))
    }
    assert files_of(tensors, 2, max_bytes=64) == {"a": 1, "b": 1, "c": 2, "d": 3}
    assert files_of(tensors, 1, max_bytes=10**6) == dict.fromkeys("abcd", 1)
