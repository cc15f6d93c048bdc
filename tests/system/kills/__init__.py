"""Searches that are killed at any moment and resumed."""
