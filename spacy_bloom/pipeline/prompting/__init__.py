"""From Docs to prompts, and from generated text back."""
