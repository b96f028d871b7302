import pytest

from spacy_bloom.cli.train.rank_output import find_device, on_ranks, start_of_command
from spacy_bloom.errors import InputError


def test_one_process_speaks(capsys):
    with on_ranks(1.0) as speaks:
        print("heard")
    assert speaks and capsys.readouterr().out == "heard\n"
    assert start_of_command() == "python"


def test_devices(monkeypatch):
    assert find_device(-1) == "cpu"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(InputError, match="no GPU 0: 0 found"):
        find_device(0)
    chosen = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    assert find_device(1) == "cuda:1"
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    assert find_device(1) == "cuda:3"
    with pytest.raises(InputError, match="no GPU 4: 4 found"):
        find_device(2)
    assert chosen == [1, 3]
