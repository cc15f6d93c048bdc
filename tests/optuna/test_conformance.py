"""CrashAwareSampler passes the suite that Optuna has for samplers, where Optuna brings it."""

from __future__ import annotations

import optuna
import pytest

from robusttune.optuna import CrashAwareSampler

suite = pytest.importorskip("optuna.testing.pytest_samplers", reason="it came after Optuna 4.0")

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class TestConformanceOverRandom(suite.BasicSamplerTestCase, suite.MultiObjectiveSamplerTestCase):
    """Optuna's own suite, over the random sampler."""

    @pytest.fixture
    def sampler(self):
        """Return the factory that the suite asks for."""
        return lambda: CrashAwareSampler(optuna.samplers.RandomSampler(seed=0))


class TestConformanceOverTPE(
    suite.BasicSamplerTestCase, suite.RelativeSamplerTestCase, suite.MultiObjectiveSamplerTestCase
):
    """Optuna's own suite, over TPE without random trials at the start."""

    @pytest.fixture
    def sampler(self):
        """Return the factory that the suite asks for."""
        return lambda: CrashAwareSampler(
            optuna.samplers.TPESampler(n_startup_trials=0, multivariate=True, seed=0)
        )
