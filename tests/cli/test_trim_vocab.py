import shutil

import pytest
import spacy
import torch
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_bloom.cli  # noqa: F401  (adds its commands to spaCy's)
from spacy_bloom import BloomForCausalLM, BloomTokenizerFast

TEXTS = ["Leo asubuhi watoto walikwenda shuleni.", "The river </s> was high in spring.", "Leo asubuhi"]


def run(*arguments):
    return CliRunner().invoke(app, ["bloom", "trim-vocab", *map(str, arguments)])


def words(result):
    """The output without line breaks and colours, which depend on the terminal."""
    return " ".join(result.output.split())


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text(f"{TEXTS[0]}\n{TEXTS[2]}\n", encoding="utf8")
    docs = [spacy.blank("xx").make_doc(TEXTS[1])]
    DocBin(docs=docs).to_disk(tmp_path / "corpus" / "b.spacy")
    return tmp_path / "corpus"


def test_help():
    result = CliRunner().invoke(app, ["bloom", "trim-vocab", "--help"])
    assert result.exit_code == 0
    for option in (
        "--min-count",
        "--keep",
        "--check-texts",
        "--seed",
        "--dtype",
        "--max-shard-size",
        "--force",
    ):
        assert option in result.output


def test_the_table_and_the_proof(tmp_path, tiny_checkpoint, corpus):
    result = run(tiny_checkpoint, corpus, tmp_path / "new")
    assert result.exit_code == 0, result.output
    old, new = (BloomForCausalLM.from_pretrained(path) for path in (tiny_checkpoint, tmp_path / "new"))
    whole, trimmed = (
        BloomTokenizerFast.from_pretrained(path) for path in (tiny_checkpoint, tmp_path / "new")
    )
    n, n_new = old.num_parameters(), new.num_parameters()
    text = words(result)
    assert f"Pieces {len(whole)} {len(trimmed)} -" in text
    assert f"Rows of the embedding 608 {len(trimmed)} -" in text
    assert f"Parameters {n:,} {n_new:,} -{1 - n_new / n:.1%}" in text and n_new < n
    pieces = sum(len(whole.tokenize(t)) for t in (TEXTS[0], TEXTS[2]))
    pieces += len(whole.encode(TEXTS[1], split_special_tokens=True))
    per_piece = f"{sum(len(t.encode()) for t in TEXTS) / pieces:.3f}"
    assert f"Pieces of the corpus {pieces} {pieces} +0.0%" in text
    assert f"Bytes per piece {per_piece} {per_piece}" in text
    assert "All 3 texts have the same pieces and are decoded to the same text" in text
    assert f"Largest difference in 3 texts ({pieces} pieces): hidden states 0, logits of the kept" in text
    assert str(tmp_path / "new") in result.output.replace("\n", "")


def test_options(tmp_path, tiny_checkpoint, corpus):
    keep = tmp_path / "labels.jsonl"
    keep.write_text('{"text": "biblioteca"}\n', encoding="utf8")
    options = ["--min-count", 2, "--keep", keep, "--keep", corpus / "a.txt", "--check-texts", 0]
    result = run(tiny_checkpoint, corpus, tmp_path / "new", *options, "--dtype", "bfloat16", "-s", "20KB")
    assert result.exit_code == 0, result.output
    assert "1 of 3 texts have other pieces than before" in words(result)
    assert "Hidden states and logits were not compared" in words(result)
    whole, trimmed = (
        BloomTokenizerFast.from_pretrained(path) for path in (tiny_checkpoint, tmp_path / "new")
    )
    for text in ("biblioteca", TEXTS[0]):
        assert trimmed.tokenize(text) == whole.tokenize(text)
    assert BloomForCausalLM.from_pretrained(tmp_path / "new", dtype="auto").dtype == torch.bfloat16
    assert len(list((tmp_path / "new").glob("model-*.safetensors"))) > 1


def test_a_bundled_checkpoint_over_another(tmp_path, tiny_checkpoint, corpus):
    shutil.copytree(tiny_checkpoint, tmp_path / "new")
    result = run("tiny-bloom", corpus, tmp_path / "new")
    assert result.exit_code == 1 and "is not empty" in words(result) and "--force" in words(result)
    result = run("tiny-bloom", corpus / "a.txt", tmp_path / "new", "--force")
    assert result.exit_code == 0, result.output
    model = BloomForCausalLM.from_pretrained(tmp_path / "new", dtype="auto")
    assert model.dtype == torch.float16 and 260 <= model.config.vocab_size < 400


@pytest.mark.parametrize(
    "checkpoint, texts, options, message",
    [
        ("./nothing", "a.txt", [], "No directory './nothing'"),
        ("tiny-bloom", "nothing", [], "Expected texts at"),
        ("tiny-bloom", "a.txt", ["--keep", "nothing"], "Expected texts at nothing"),
        ("tiny-bloom", "a.txt", ["--dtype", "int8"], "got 'int8'"),
        ("tiny-bloom", "a.txt", ["--max-shard-size", "big"], "got 'big'"),
    ],
)
def test_what_does_not_fit(tmp_path, corpus, checkpoint, texts, options, message):
    result = run(checkpoint, corpus / texts, tmp_path / "new", *options)
    assert result.exit_code == 1 and message in words(result)
    assert not (tmp_path / "new").exists()
