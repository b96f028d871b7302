"""Training on several ranks, each of which holds a part of weights, gradients and optimizer: FSDP2 of torch."""
