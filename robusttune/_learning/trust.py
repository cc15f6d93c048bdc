"""Whether a search's own trials speak against what was known before it."""

from __future__ import annotations

import math

import numpy as np

from robusttune._learning.points import Bools, Floats

# Odds, before any trial, that failing depends on the same things as before. One trial that succeeds
# where it is sure that it fails overrules it.
_ODDS = 4.0
# Each own trial speaks for or against by no more than this chance of failing.
_SUREST = 0.95


def odds_of_trust(chances: Floats, failed: Bools) -> float:
    """Return the log odds that predictions hold for a search.

    They are compared with those of a constant chance of failing, by the ratio of their likelihoods.

    Args:
        chances: The chance of each own trial to fail, as it was predicted; shape (n,).
        failed: Which of them failed, shape (n,).
    """
    odds = math.log(_ODDS)
    if len(failed):
        share = (failed.sum() + 1) / (len(failed) + 2)
        chances = np.clip(chances, 1 - _SUREST, _SUREST)
        constant = np.where(failed, share, 1 - share)
        odds += float(np.log(np.where(failed, chances, 1 - chances) / constant).sum())
    return odds
