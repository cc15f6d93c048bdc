"""Signs of a stall: what the layers show before the fit and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from robusttune._diagnosis.case import Case
from robusttune._diagnosis.investigate import odd_weights
from robusttune._diagnosis.model.observe import Observation, is_hidden_activation
from robusttune._diagnosis.model.structure import regularization

_SATURATING = frozenset({"sigmoid", "tanh", "hard_sigmoid", "softsign", "hard_tanh", "softmax"})
_RELUS = frozenset({"relu", "relu6"})
# Share of the units of a layer that never fire on a batch, from which it counts as dead
# (AUTOTRAINER, ICSE'21, and DeepDiagnosis, ICSE'22, start at 0.7; one layer must be nearly dead
# for a whole net to stall).
DEAD = 0.9
# Gradient norm of the first trainable layer / the last (UMLAUT and DeepDiagnosis use 1e-3..1e-4).
VANISHING = 1e-3
_MANY = 3
_NONLINEAR = (
    *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "MultiHead", "Attention", "Max"),
    "Lambda",  # which may be anything
)


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of a stall in the layers.

    Args:
        dead_share: Largest share of dead units of a hidden relu layer after the fit, 0..1.
        dead_at_start: The same before the fit.
        gradient_ratio: Gradient norm of the first trainable layer / the last, before the fit.
        hidden_layers: Hidden layers with an activation.
        early_gradient: Of a recurrent net, size of the gradient at the first time steps / the
            largest, before the fit; None for other nets.
        linear: Whether there are hidden layers and none of them is non-linear.
        saturating: Whether most hidden activations saturate on both sides.
        odd_weights: Whether first weights are none that a standard initializer draws.
        widths: Units of the hidden layers that have weights.
        regularization: What may regularize too strongly, by name (`structure.regularization`).
    """

    dead_share: float
    dead_at_start: float
    gradient_ratio: float
    early_gradient: float | None
    hidden_layers: int
    linear: bool
    saturating: bool
    odd_weights: bool
    widths: tuple[int, ...] = ()
    regularization: Mapping[str, float] = field(default_factory=dict)

    @property
    def vanishing(self) -> bool:
        """Whether gradients die on their way through saturating layers."""
        deep = self.hidden_layers >= _MANY or self.gradient_ratio < VANISHING
        return self.saturating and deep

    @property
    def any(self) -> bool:
        """Whether anything is wrong with the structure."""
        dead = self.dead_share >= DEAD
        return dead or self.linear or self.vanishing or self.odd_weights


def signs(case: Case) -> Signs:
    """Read the signs off the observations of the first and the last step."""
    seen = case.first or case.last
    assert seen is not None
    hidden = [view for view in seen.layers if is_hidden_activation(view, seen)]
    names = [view.activation for view in hidden]
    norms = [view.gradient_norm for view in seen.layers if view.gradient_norm is not None]
    linear = {view.name for view in hidden}
    other = any(
        view.kind.startswith(_NONLINEAR) and view.name not in linear
        for view in seen.layers
        if not view.kind.endswith("Cell")  # its layer was seen
    )
    return Signs(
        dead_share=0.0 if case.last is None else _dead_share(case.last),
        dead_at_start=0.0 if case.first is None else _dead_share(case.first),
        gradient_ratio=norms[0] / norms[-1] if len(norms) > 1 and norms[-1] > 0 else 1.0,
        early_gradient=seen.early_gradient,
        hidden_layers=len(hidden),
        linear=bool(hidden) and all(name == "linear" for name in names) and not other,
        saturating=bool(names) and sum(name in _SATURATING for name in names) > len(names) / 2,
        odd_weights=bool(odd_weights(case)),
        widths=_widths(seen),
        regularization=regularization(case.model, strong=True),
    )


def _widths(seen: Observation) -> tuple[int, ...]:
    """Return the units of the layers with weights, but for the last, which is the head."""
    trained = [view.output.shape[-1] for view in seen.layers if view.trainable]
    return tuple(trained[: -max(len(seen.heads), 1)])


def _dead_share(seen: Observation) -> float:
    shares = [0.0]
    for view in seen.layers:
        if view.activation in _RELUS and is_hidden_activation(view, seen) and view.output.ndim > 1:
            output = view.output.reshape(-1, view.output.shape[-1])
            shares.append(float(np.mean(~(output > 0).any(axis=0))))
    return max(shares)
