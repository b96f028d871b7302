"""`python -m spacy bloom convert`: a checkpoint as safetensors, in another dtype, shard size or depth."""

from pathlib import Path
from typing import Optional

from spacy.cli._util import Arg, Opt
from tqdm import tqdm
from wasabi import msg

from ..bloom.heads import (
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
)
from ..bloom.model import BloomModel
from ..checkpoint.load import to_dtype
from ..checkpoint.names import TIED
from ..checkpoint.sizes import format_size, parse_size
from ..checkpoint.sources import find_checkpoint
from ..checkpoint.writing import MAX_SHARD_SIZE
from ..conversion.convert import Plan, check_output, convert_checkpoint, plan_conversion, with_weights
from ..generation.causal_lm import BloomForCausalLM
from .failures import check_folder

CLASSES = {
    kind.__name__: kind
    for kind in (
        BloomForCausalLM,
        BloomForQuestionAnswering,
        BloomForSequenceClassification,
        BloomForTokenClassification,
    )
}


def convert_cli(
    source: str = Arg(..., help="Directory in the Hugging Face layout, Hub name or bundled name"),
    output_path: Path = Arg(..., help="Directory for the converted checkpoint"),
    dtype: str = Opt("auto", "--dtype", "-d", help="float32, bfloat16 or float16; auto keeps that of the files"),
    max_shard_size: str = Opt(MAX_SHARD_SIZE, "--max-shard-size", "-s", help="Maximum file size, such as 500MB, 2GB or 2GiB; roughly the memory needed, too"),
    quantization: Optional[str] = Opt(None, "--quantization", "-q", help="int8: weights of 8 bits with a scale for each row"),
    num_layers: Optional[int] = Opt(None, "--num-layers", "-n", help="Number of blocks to keep, from the first"),
    revision: Optional[str] = Opt(None, "--revision", "-r", help="Branch, tag or commit on the Hub"),
    force: bool = Opt(False, "--force", "-F", help="Overwrite the checkpoint in the output directory"),
) -> None:  # fmt: skip
    """
    Convert a checkpoint to safetensors, weight by weight, in the memory of
    about one shard. Reads safetensors, shards and weights-only .bin files;
    keeps the head, the config and the tokenizer's files. spacy_bloom and
    Hugging Face load the result.

    With --quantization int8, the result takes about half of float16's disk and
    is for spacy_bloom alone; its weights are in memory while it is made.

    Files get their names when all of them are written: an interruption leaves
    an older checkpoint in the output directory as it was.
    """
    max_bytes, to = parse_size(max_shard_size), to_dtype(dtype)
    check_folder(output_path)
    check_output(output_path, 0, force)  # again with the size, when the headers have been read
    plan = plan_conversion(find_checkpoint(source, revision=revision), dtype=to, num_layers=num_layers)
    if quantization is not None:
        plan = _quantized(plan, quantization, num_layers)
    files = _convert(plan, output_path, max_bytes, force)
    n_files = sum(file.suffix == ".safetensors" for file in files)
    what = f"{plan.config.n_layer} blocks, {quantization or str(plan.dtype).removeprefix('torch.')}"
    msg.good(
        f"{format_size(plan.n_bytes)} of weights before, {format_size(plan.new_n_bytes)} now "
        f"({what}, {n_files} {'file' if n_files == 1 else 'files'})",
        output_path.resolve(),
    )


def _quantized(plan: Plan, method: str, num_layers: Optional[int]) -> Plan:
    """RETURNS (Plan): For quantised weights in place of the source's."""
    architecture = plan.config.extra["architectures"][0]
    model = CLASSES.get(architecture, BloomModel).from_pretrained(
        plan.source, quantization=method, num_layers=num_layers
    )
    tied = TIED if model.config.tie_word_embeddings else ()
    weights = {name: value for name, value in model.state_dict().items() if name not in tied}
    return with_weights(plan, model.config, weights)


def _convert(plan: Plan, output: Path, max_bytes: int, force: bool) -> list[Path]:
    bar = tqdm(total=plan.new_n_bytes, unit="B", unit_scale=True, disable=None, leave=False)
    with bar:
        return convert_checkpoint(plan, output, max_shard_size=max_bytes, force=force, progress=bar.update)
