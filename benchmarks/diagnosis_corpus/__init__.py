"""Trials with known causes: each is broken, or healthy, by construction."""

from diagnosis_corpus.data_and_labels import DATA_AND_LABELS
from diagnosis_corpus.healthy_models import HEALTHY_MODELS
from diagnosis_corpus.healthy_modes import HEALTHY_MODES
from diagnosis_corpus.healthy_tables import HEALTHY_TABLES
from diagnosis_corpus.held_out import HELD_OUT_FAILING, HELD_OUT_HEALTHY
from diagnosis_corpus.losses_and_metrics import LOSSES_AND_METRICS
from diagnosis_corpus.rates_and_scales import RATES_AND_SCALES
from diagnosis_corpus.structure import STRUCTURE

FAILING = [*RATES_AND_SCALES, *LOSSES_AND_METRICS, *DATA_AND_LABELS, *STRUCTURE]
HEALTHY = [*HEALTHY_TABLES, *HEALTHY_MODELS, *HEALTHY_MODES]

__all__ = ["FAILING", "HEALTHY", "HELD_OUT_FAILING", "HELD_OUT_HEALTHY"]
