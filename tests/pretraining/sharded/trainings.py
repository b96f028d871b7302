"""The trainings that one process and several ranks run alike."""

from pathlib import Path

import torch

from spacy_bloom import BloomConfig, BloomForCausalLM, BloomTokenizerFast
from spacy_bloom.pretraining.config import TrainingConfig
from spacy_bloom.pretraining.data import DataConfig, encode_file, read_text_file
from spacy_bloom.pretraining.loop import LMTrainer
from spacy_bloom.pretraining.masking import Masking

DATA = DataConfig(max_length=16, batch_pieces=64, held_back_every=5, max_eval_lines=10)
# Rows that two or three ranks cannot share out evenly, batches that do not go round.
GEOMETRY = dict(vocab_size=301, hidden_size=18, n_layer=2, n_head=3)
DROPOUT = {"hidden_dropout": 0.1, "attention_dropout": 0.1}
TRAININGS = {
    "adamw": {"accumulate_gradient": 3, "gradient_checkpointing": True},
    "muon": {"accumulate_gradient": 2, "optimizer": "muon"},
    "masked": {"accumulate_gradient": 2, "objective": "mntp"},
    "untied": {"accumulate_gradient": 2},
    "bfloat16": {"accumulate_gradient": 2, "compute_dtype": "bfloat16"},
}


def make_model(kind):
    torch.manual_seed(0)
    tied = {"tie_word_embeddings": False} if kind == "untied" else {}
    return BloomForCausalLM(BloomConfig(**GEOMETRY, **DROPOUT, **tied))


def make_trainer(kind, folder, output, model, engine=None):
    """folder (Path): With a tokenizer and text files."""
    tokenizer = BloomTokenizerFast.from_pretrained(folder / "tokenizer")
    texts = [read_text_file(path, path.stem, DATA) for path in sorted(Path(folder).glob("*.txt"))]
    files = [encode_file(text, tokenizer, DATA) for text in texts]
    values = {"learning_rate": 1e-2, "warmup_steps": 2, "max_steps": 6, "eval_steps": 3, "save_minutes": 0.0}
    config = TrainingConfig(**{**values, **TRAININGS[kind]})
    masking = Masking(0, 0.3, 1) if config.objective == "mntp" else None
    return LMTrainer(model, files, config, DATA, Path(output), masking=masking, engine=engine)


def run(trainer, *, stop=None):
    """RETURNS (dict): Losses, bits per byte, and weights' sums of squares by name at the end."""
    losses, bpb = [], []
    for report in trainer.train():
        losses.append(report.loss)
        bpb.append(report.evaluation.bpb if report.evaluation else None)
        if report.step == stop:
            trainer.stop()
    return {"losses": losses, "bpb": bpb}
