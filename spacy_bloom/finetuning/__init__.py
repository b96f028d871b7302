"""Fine-tuning: which weights learn, how fast, and adapters in their place."""
