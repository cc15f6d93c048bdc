"""The guard: what watches a fit from inside the training step.

`callback` and `fits` need Keras; `clock`, `context` and `watch` do not.
"""

from robusttune._deprecation import moved

__getattr__ = moved(__name__, {"Guard": "robusttune.Guard"}, until="0.3")
