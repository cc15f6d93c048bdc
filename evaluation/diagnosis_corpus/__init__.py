"""Trials with known causes: each is broken, or healthy, by construction."""

from evaluation.diagnosis_corpus.data_and_labels import DATA_AND_LABELS
from evaluation.diagnosis_corpus.healthy_models import HEALTHY_MODELS
from evaluation.diagnosis_corpus.healthy_modes import HEALTHY_MODES
from evaluation.diagnosis_corpus.healthy_tables import HEALTHY_TABLES
from evaluation.diagnosis_corpus.held_out import HELD_OUT_FAILING, HELD_OUT_HEALTHY
from evaluation.diagnosis_corpus.losses_and_metrics import LOSSES_AND_METRICS
from evaluation.diagnosis_corpus.rates_and_scales import RATES_AND_SCALES
from evaluation.diagnosis_corpus.structure import STRUCTURE

FAILING = [*RATES_AND_SCALES, *LOSSES_AND_METRICS, *DATA_AND_LABELS, *STRUCTURE]
HEALTHY = [*HEALTHY_TABLES, *HEALTHY_MODELS, *HEALTHY_MODES]

__all__ = ["FAILING", "HEALTHY", "HELD_OUT_FAILING", "HELD_OUT_HEALTHY"]
