"""How text falls into pieces: views and counts."""
