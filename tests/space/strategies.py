"""Hypothesis strategies for neutral parameters, sound or not."""

from __future__ import annotations

import math

import hypothesis.strategies as st

from robusttune._space import Choice, Float, Int, Role

INF, NAN = math.inf, math.nan

ROLES = st.sampled_from([None, *Role])
BOUNDS = st.one_of(
    st.floats(),
    st.floats(-2.0, 2.0),
    st.sampled_from([0.0, 1.0, 1e-6, 1e-3, 0.1, 0.9, 10.0, 1e3, INF, -INF, NAN]),
)


@st.composite
def floats(draw):
    """Ranges of floats, sound or not."""
    log = draw(st.booleans())
    return Float(
        "x",
        draw(BOUNDS),
        draw(BOUNDS),
        log=log,
        reverse=log and draw(st.booleans()),
        step=draw(st.none() | BOUNDS),
        default=draw(st.none() | BOUNDS),
    )


@st.composite
def ints(draw):
    """Ranges of integers, sound or not."""
    log = draw(st.booleans())
    whole = st.integers(-100, 2000)
    return Int(
        "x",
        draw(whole),
        draw(whole),
        log=log,
        reverse=log and draw(st.booleans()),
        step=draw(st.none() | st.integers(-5, 300)) if log else draw(st.integers(-5, 300)),
        default=draw(st.none() | whole),
    )


@st.composite
def choices(draw):
    """Choices, sound or not."""
    values = draw(
        st.one_of(
            st.lists(BOUNDS, min_size=1, max_size=6),
            st.lists(st.integers(-5, 5), min_size=1, max_size=6),
            st.lists(st.sampled_from(["a", "b", True, None, 0.5]), min_size=1, max_size=6),
        )
    )
    return Choice("x", tuple(values), default=draw(st.none() | st.sampled_from(values)))
