"""Searches that are killed: programs of their own, each with a command line."""
