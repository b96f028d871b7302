"""The torch side of a thinc model: loading, learning, saving."""
