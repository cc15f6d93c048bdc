"""Trials with known causes: each is broken, or healthy, by construction."""
