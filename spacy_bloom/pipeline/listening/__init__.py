"""Who reads a transformer's output, and what comes back."""
