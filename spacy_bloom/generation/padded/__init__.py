"""Generation on rectangles of padded ids, as Hugging Face's: for what is asked about the steps, or is called at them."""
