"""Run spaCy's commands with BLOOM's products in bfloat16, which trains faster on CPUs that have instructions for it
(`lscpu` lists avx512_bf16 or amx_bf16). Weights, gradients and optimizers stay float32.

    python scripts/bfloat16.py train CONFIG --output OUTPUT
    python scripts/bfloat16.py bloom train-lm CONFIG OUTPUT
"""

import torch
from spacy.cli._util import setup_cli

if __name__ == "__main__":
    # Nothing is cached: weights change from step to step.
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        setup_cli()
