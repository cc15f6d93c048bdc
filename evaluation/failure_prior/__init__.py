"""The failure prior: a sweep over synthetic tasks, and the model that is fitted to it."""
