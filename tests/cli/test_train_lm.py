import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from spacy.cli._util import app
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom import BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.files import writing_alone
from spacy_bloom.generation.config import GenerationConfig
from spacy_bloom.pretraining.loop import LMTrainer

CONFIG = Path(__file__).parents[2] / "configs" / "train_lm_tiny.cfg"
SMALL = {
    "tokenizer.vocab_size": 300,
    "model.hidden_size": 16,
    "model.n_layer": 2,
    "model.n_head": 2,
    "data.max_length": 16,
    "data.batch_pieces": 64,
    "data.held_back_every": 5,
    "training.max_steps": 4,
    "training.max_minutes": 0,
}
LINES = {
    "en": ["A small house stands by the river.", "It waits for rain, and the rain waits for it."] * 15,
    "hi": ["नदी के किनारे एक छोटा घर है।", "वह बारिश की राह देखता है।"] * 5,
}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.mkdir()
    for name, lines in LINES.items():
        (path / f"{name}.txt").write_text("\n".join(lines), encoding="utf8")
    return path


def run(output, text=None, *arguments, config=CONFIG, **overrides):
    options = {**SMALL, **({} if text is None else {"paths.text": text}), **overrides}
    options = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = ["bloom", "train-lm", str(config), str(output), *arguments, *options]
    return CliRunner().invoke(app, command, env={"SPACY_CONFIG_OVERRIDES": None})


def words(result):
    """The output without line breaks and colours, which depend on the terminal."""
    return " ".join(result.output.split())


def test_help():
    result = CliRunner().invoke(app, ["bloom", "train-lm", "--help"])
    assert result.exit_code == 0
    assert "--resume" in result.output and "init_checkpoint" in result.output


def test_training_makes_checkpoints(text, tmp_path):
    output = tmp_path / "out"
    result = run(output, text)
    assert result.exit_code == 0, result.output
    assert "2 text files" in words(result)
    for name in ("model-best", "model-last"):
        model = BloomForCausalLM.from_pretrained(output / name)
        tokenizer = BloomTokenizerFast.from_pretrained(output / name)
        assert model.config.vocab_size == len(tokenizer) <= 300
        assert (model.config.hidden_size, model.config.n_layer, model.config.n_head) == (16, 2, 2)
        assert (model.config.bos_token_id, model.config.eos_token_id, model.config.pad_token_id) == (1, 2, 3)
        assert model(torch.tensor([tokenizer.encode("rain")])).logits.isfinite().all()
        assert all(t.dtype == torch.float32 for t in load_file(output / name / "model.safetensors").values())
    rows = [json.loads(row) for row in (output / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4 and rows[-1]["bpb_by_file"].keys() == {"en", "hi"}


def test_save_dtype(text, tmp_path):
    assert run(tmp_path / "out", text, **{"training.save_dtype": "float16"}).exit_code == 0
    weights = load_file(tmp_path / "out" / "model-last" / "model.safetensors")
    assert all(t.dtype == torch.float16 for t in weights.values())


def test_fine_tuning_keeps_the_tokenizer_and_shows_what_it_changes(text, tmp_path):
    assert run(tmp_path / "first", text).exit_code == 0
    first = tmp_path / "first" / "model-last"
    (text / "hi.txt").unlink()
    result = run(tmp_path / "second", text, **{"paths.init_checkpoint": first, "model.hidden_dropout": 0.1})
    assert result.exit_code == 0, result.output
    second = tmp_path / "second" / "model-last"
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    before, after = (BloomForCausalLM.from_pretrained(path) for path in (first, second))
    assert after.config.hidden_dropout == 0.1
    assert not torch.equal(before.lm_head.weight, after.lm_head.weight)
    bpb = [
        json.loads((tmp_path / name / "history.jsonl").read_text().splitlines()[row])["bpb_by_file"]["en"]
        for name, row in (("first", -1), ("second", 0))
    ]
    assert bpb[0] == pytest.approx(bpb[1], rel=1e-4)


def test_adapting_a_checkpoint_to_both_sides(text, tmp_path):
    assert run(tmp_path / "first", text).exit_code == 0
    first = tmp_path / "first" / "model-last"
    options = {"paths.init_checkpoint": first, "training.objective": "mntp", "training.max_steps": 30}
    options |= {"training.learning_rate": 0.01, "training.warmup_steps": 0}
    result = run(tmp_path / "second", text, **options)
    assert result.exit_code == 0, result.output
    rows = [json.loads(row) for row in (tmp_path / "second" / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["bpb"] < 0.95 * rows[0]["bpb"]
    before, after = (BloomForCausalLM.from_pretrained(p) for p in (first, tmp_path / "second" / "model-last"))
    assert before.config == after.config  # nothing in the files says how they were trained
    result = run(tmp_path / "second", text, "--resume", **{**options, "training.objective": "causal"})
    assert result.exit_code == 1 and "training.objective is not what it was" in words(result)
    result = run(tmp_path / "second", text, "--resume", **{**options, "training.optimizer": "adamw"})
    assert result.exit_code == 1 and "was started: muon, now adamw." in words(result)
    result = run(tmp_path / "second", text, "--resume", **{**options, "training.bidirectional_layers": 1})
    assert result.exit_code == 1 and "was started: 0, now 1." in words(result)
    result = run(tmp_path / "third", text, **{**options, "training.bidirectional_layers": 3})
    assert result.exit_code == 1 and "bidirectional_layers is 3; the model has 2 layers" in words(result)
    result = run(tmp_path / "third", text, **{"training.bidirectional_layers": 1})
    assert result.exit_code == 1 and 'is for training.objective = "mntp"' in words(result)
    result = run(tmp_path / "third", text, **{"training.objective": "mlm"})
    assert result.exit_code == 1 and "expected one of ('causal', 'mntp')" in words(result)


def test_interrupted_training_says_how_to_resume_and_ends_in_the_same_bits(text, tmp_path, monkeypatch):
    assert run(tmp_path / "whole", text).exit_code == 0
    step = LMTrainer._step

    def interrupted(self):
        if self.progress.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(LMTrainer, "_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    result = run(tmp_path / "parts", text)
    assert signal.getsignal(signal.SIGINT) is handler
    assert result.exit_code == 130
    assert "bloom train-lm" in words(result) and "--resume" in words(result)
    assert not (tmp_path / "parts" / "model-last").exists()
    monkeypatch.setattr(LMTrainer, "_step", step)
    result = run(tmp_path / "parts", text, "--resume")
    assert result.exit_code == 0 and "Resumed after step 2" in words(result)
    weights = [
        (tmp_path / name / "model-last" / "model.safetensors").read_bytes() for name in ("whole", "parts")
    ]
    assert weights[0] == weights[1]


def test_a_resumed_run_keeps_what_the_checkpoint_generates_with(text, tmp_path, monkeypatch):
    assert run(tmp_path / "first", text).exit_code == 0
    first = tmp_path / "first" / "model-last"
    model = BloomForCausalLM.from_pretrained(first)
    model.generation_config = GenerationConfig(max_new_tokens=7)
    model.save_pretrained(first)
    step = LMTrainer._step

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    options = {"paths.init_checkpoint": first, "model.hidden_dropout": 0.1}
    monkeypatch.setattr(LMTrainer, "_step", interrupted)
    assert run(tmp_path / "second", text, **options).exit_code == 130
    monkeypatch.setattr(LMTrainer, "_step", step)
    result = run(tmp_path / "second", text, "--resume", **{**options, "model.hidden_dropout": 0.2})
    assert result.exit_code == 1 and "model.hidden_dropout is not what it was" in words(result)
    result = run(tmp_path / "second", text, "--resume", **{**options, "model.n_layer": 5})  # not used here
    assert result.exit_code == 0, result.output
    last = BloomForCausalLM.from_pretrained(tmp_path / "second" / "model-last")
    assert last.generation_config == model.generation_config


def test_resuming_with_other_text_or_data_is_refused(text, tmp_path):
    assert run(tmp_path / "out", text).exit_code == 0
    result = run(tmp_path / "out", text, "--resume", **{"data.max_length": 8})
    assert result.exit_code == 1 and "[data] is not what it was" in words(result)
    result = run(tmp_path / "out", text, "--resume", **{"model.n_layer": 3})
    assert result.exit_code == 1 and "model.n_layer is not what it was" in words(result)
    (text / "en.txt").write_text("Something else.\n" * 9)
    result = run(tmp_path / "out", text, "--resume")
    assert result.exit_code == 1 and "The text is not what it was" in words(result)


def test_state_without_resume_is_not_overwritten(text, tmp_path):
    assert run(tmp_path / "out", text).exit_code == 0
    result = run(tmp_path / "out", text)
    assert result.exit_code == 1 and "--resume" in words(result)


def test_resume_without_state_starts_with_a_warning(text, tmp_path):
    result = run(tmp_path / "out", text, "--resume")
    assert result.exit_code == 0 and "no state yet" in words(result)


def test_errors_of_text_files(text, tmp_path):
    result = run(tmp_path / "out")
    assert result.exit_code == 1 and "--paths.text" in words(result)
    result = run(tmp_path / "out", tmp_path / "nowhere")
    assert result.exit_code == 1 and "No text files at" in words(result)
    (text / "en.txt").write_bytes(b"good\n\xe9t\xe9\n")
    result = run(tmp_path / "out", text)
    assert result.exit_code == 1 and "line 2" in words(result)
    assert not (tmp_path / "out").exists()


def test_errors_of_the_config_name_every_key(text, tmp_path):
    result = run(tmp_path / "out", text, **{"training.learning_rat": 1, "model.n_head": "many"})
    assert result.exit_code == 1
    assert "unknown key training.learning_rat" in words(result)
    assert "model.n_head is 'many', expected a valid integer" in words(result)


def test_missing_gpu_is_an_error(text, tmp_path):
    """Found before the config, the texts or the tokenizer are touched."""
    for use_gpu in (torch.cuda.device_count(), 99):
        result = run(tmp_path / "out", text / "nowhere", "--gpu-id", str(use_gpu))
        assert result.exit_code == 1 and f"There is no GPU {use_gpu}" in words(result)
        assert "tokenizer" not in words(result) and not (tmp_path / "out").exists()


def test_a_second_run_in_the_same_directory_is_refused(text, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    first = writing_alone(output)
    with ThreadPoolExecutor(1) as other:  # a lock of another thread is as that of another process
        other.submit(first.__enter__).result()
        result = run(output, text)
        other.submit(first.__exit__, None, None, None).result()
    assert result.exit_code == 1 and f"Another process writes to {output}" in words(result)
    assert not list(output.iterdir())


def test_a_checkpoint_gets_its_name_with_its_tokenizer(text, tmp_path, monkeypatch):
    """Killed between the two, it left weights that could not be loaded."""
    save, output = BloomTokenizerFast.save_pretrained, tmp_path / "out"

    def fail(self, path, *args, **options):
        if Path(path).name == "tokenizer":
            return save(self, path, *args, **options)
        assert not (output / "model-best").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BloomTokenizerFast, "save_pretrained", fail)
    result = run(output, text)
    assert result.exit_code == 1 and isinstance(result.exception, (OSError, SystemExit))
    assert sorted(path.name for path in output.iterdir()) == ["history.jsonl", "tokenizer"]
