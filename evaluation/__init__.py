"""Labelled programs, and how often the diagnosis is right on them."""
