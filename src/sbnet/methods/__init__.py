"""Methods: a folder each. `base.py` says what one is."""
