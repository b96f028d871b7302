"""Tags of tokens: schemes, gold labels, heads of checkpoints."""
