"""Long runs against hostile files and texts, faults and load: `make soak`, or `python -m scripts.soak`.

A part is a module of this package with a function `soak(budget)` that yields a `Figure` for each kind of input. See
docs/robustness.md for what the parts are and what they have found.
"""
