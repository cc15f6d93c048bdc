"""The guard: what watches a fit from inside the training step."""
