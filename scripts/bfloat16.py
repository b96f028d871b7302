"""Run spaCy's commands with matrix products in bfloat16. This makes training faster on CPUs with instructions for
bfloat16 (`lscpu` lists avx512_bf16 or amx_bf16). Weights, gradients and optimizer states stay in float32.

    python scripts/bfloat16.py train CONFIG --output OUTPUT
    python scripts/bfloat16.py bloom train-lm CONFIG OUTPUT
"""

import torch
from spacy.cli._util import setup_cli

if __name__ == "__main__":
    # No cache, because the weights change with each step.
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        setup_cli()
