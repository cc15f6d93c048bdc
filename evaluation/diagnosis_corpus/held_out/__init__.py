"""Trials that were written without knowledge of the rules, before the diagnosis had seen them.

The confidence of a verdict was counted on their first run; rules that fell short there have been
mended since.
"""

from evaluation.diagnosis_corpus.held_out.data import DATA
from evaluation.diagnosis_corpus.held_out.losses import LOSSES
from evaluation.diagnosis_corpus.held_out.ok_losses import OK_LOSSES
from evaluation.diagnosis_corpus.held_out.ok_models import OK_MODELS
from evaluation.diagnosis_corpus.held_out.ok_modes import OK_MODES
from evaluation.diagnosis_corpus.held_out.ok_tables import OK_TABLES
from evaluation.diagnosis_corpus.held_out.raised import RAISED
from evaluation.diagnosis_corpus.held_out.rates import RATES
from evaluation.diagnosis_corpus.held_out.structure import STRUCTURE

HELD_OUT_FAILING = [*RATES, *LOSSES, *DATA, *STRUCTURE, *RAISED]
HELD_OUT_HEALTHY = [*OK_TABLES, *OK_LOSSES, *OK_MODELS, *OK_MODES]
