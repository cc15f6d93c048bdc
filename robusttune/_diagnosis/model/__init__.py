"""The model under diagnosis: its facts, its layers, and one look at a step of it."""
