"""int8 weights, applied to a model from outside."""
