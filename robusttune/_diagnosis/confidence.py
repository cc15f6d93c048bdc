"""How sure a verdict is, by what it rests on: counted where there are grounds, else set by hand."""

from __future__ import annotations

from enum import StrEnum


class Grounds(StrEnum):
    """Grounds of a verdict. `grounds.confidence` is the probability that it is right.

    Example:
        >>> Grounds.RULE.confidence > Grounds.SUSPICION.confidence
        True
    """

    EXCEPTION = "the exception says it"
    RULE = "data, labels or one step settle it"
    CURE = "one kind of change cures"
    CURES = "several kinds of change cure, or two together"
    STALL_CURE = "one kind of change ends the stall"
    STALL_CURES = "several kinds of change end the stall"
    SIGNS = "the first steps and the layers show it"
    SUSPICION = "rate and scale suggest it, without a replay"

    @property
    def confidence(self) -> float:
        """Probability that a verdict on these grounds is right, 0..1.

        The mean of the posterior under Jeffreys' prior, so that few verdicts make none sure.
        Source: Brown, Cai and DasGupta 2001, Interval Estimation for a Binomial Proportion.
        """
        right, verdicts = _COUNTS[self]
        return round((right + 0.5) / (verdicts + 1), 2)


# Set by hand, where a verdict has no grounds that were counted. What the operating system or the
# clock says by itself (a limit that has passed, a process that has ended) is sure as well, at 0.95
# to 1, and says so where it is found.
BY_CLOCK = 0.99
# Nothing was shown: the cause is unknown.
NOTHING_SHOWN = 0.2
# NaN out of the blue, of which the batch was not kept: under the loss of integer labels they are
# the likeliest; else the data and a loss of the user's own are.
SUDDEN_AT_LABELS = 0.6
SUDDEN = 0.5
# What other trials of the search say moves a confidence by so much, within these bounds; a verdict
# that is taken over from another trial is no surer than AS_EARLIER.
BY_SEARCH = 0.05
LEAST, MOST = 0.05, 0.99
AS_EARLIER = 0.9

# (right, verdicts) on 551 trials, 298 of them failing, that were written without knowledge of the
# rules (evaluation/diagnosis_corpus/held_out and evaluation/stall_corpus), the first time that they
# were diagnosed; a false alarm counts as wrong. Trials on which the rules were made are not among
# them: evaluation/diagnosis.py prints how often each ground is right there.
_COUNTS = {
    Grounds.EXCEPTION: (23, 23),
    Grounds.RULE: (77, 78),
    Grounds.CURE: (21, 21),
    Grounds.CURES: (3, 3),
    Grounds.STALL_CURE: (71, 75),
    Grounds.STALL_CURES: (11, 11),
    Grounds.SIGNS: (11, 13),
    Grounds.SUSPICION: (7, 7),
}
