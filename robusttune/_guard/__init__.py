"""The guard: what watches a fit from inside the training step.

`callback` and `fits` need Keras; `clock`, `context` and `watch` do not.
"""
