"""One model on several processes or devices, applied to it from outside."""
