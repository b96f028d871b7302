"""Generation on rectangles of padded ids, as Hugging Face's: for what is asked about steps, or called at them."""
