import pytest
import torch
from safetensors.torch import load_file

from spacy_bloom import BloomForCausalLM
from spacy_bloom.config import BloomConfig
from spacy_bloom.errors import CheckpointError
from spacy_bloom.pretraining.state import state_path


def test_a_kill_while_saving_leaves_the_last_state(make_trainer, files, tmp_path, monkeypatch):
    trainer = make_trainer(files, tmp_path)
    list(trainer.train())
    before = state_path(tmp_path).read_bytes()

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy_bloom.files.os.replace", killed)
    trainer.progress.step += 1
    with pytest.raises(KeyboardInterrupt):
        trainer.save()
    assert state_path(tmp_path).read_bytes() == before


def test_tied_weights_are_in_the_state_once_and_nothing_is_pickled(make_trainer, files, tmp_path):
    trainer = make_trainer(files, tmp_path, max_steps=1)
    list(trainer.train())
    assert [path.name for path in state_path(tmp_path).parent.iterdir()] == ["state.safetensors"]
    names = load_file(state_path(tmp_path)).keys()
    assert "weight/transformer.word_embeddings.weight" in names
    assert not any("lm_head" in name for name in names)


def test_state_of_another_model_is_refused(make_trainer, files, tmp_path):
    list(make_trainer(files, tmp_path, max_steps=1).train())
    torch.manual_seed(0)
    other = BloomForCausalLM(BloomConfig(vocab_size=301, hidden_size=16, n_layer=2, n_head=2))
    with pytest.raises(CheckpointError, match="word_embeddings"):
        make_trainer(files, tmp_path, other).resume()


@pytest.mark.parametrize("before, now", [("adamw", "muon"), ("muon", "adamw")])
def test_state_of_another_optimizer_is_refused(make_trainer, files, tmp_path, before, now):
    list(make_trainer(files, tmp_path, max_steps=1, optimizer=before).train())
    trainer = make_trainer(files, tmp_path, optimizer=now)
    weights = {name: value.clone() for name, value in trainer.model.named_parameters()}
    with pytest.raises(CheckpointError, match="another model or optimizer.*exp_avg/transformer.h.0"):
        trainer.resume()
    assert all(value.equal(weights[name]) for name, value in trainer.model.named_parameters())


@pytest.mark.parametrize("content", [b"", b"not a state", b"\xff" * 100])
def test_damaged_state_is_refused(make_trainer, files, tmp_path, content):
    trainer = make_trainer(files, tmp_path)
    state_path(tmp_path).parent.mkdir()
    state_path(tmp_path).write_bytes(content)
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        trainer.resume()
