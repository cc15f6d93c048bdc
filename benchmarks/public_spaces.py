"""Search spaces as people write them: ranges re-created from public examples, tutorials and issues.

Each has its source: a project and the path of the file in it, an issue or page, or "github:" and a
line that GitHub's code search finds. What is expected is written beside it: a space without
`changes` is sound and must come out untouched. They are in `spaces/`, by the library that they are
written for.
"""

from __future__ import annotations

from benchmarks.spaces.keras_tuner import KERAS_TUNER
from benchmarks.spaces.optuna import OPTUNA

SPACES = (*KERAS_TUNER, *OPTUNA)
