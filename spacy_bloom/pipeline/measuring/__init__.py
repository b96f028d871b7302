"""How surprising texts are: settings, and what is written on Docs."""
