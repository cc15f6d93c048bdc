"""Curvature: the largest and the smallest eigenvalue of a Hessian, from a few products with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robusttune._diagnosis.arrays import Array

# Products with the Hessian; the ends of the spectrum settle long before the middle does.
_PRODUCTS = 24
# What is left of a direction below this share of its length is rounding: the space is exhausted.
_EXHAUSTED = 1e-6


@dataclass(frozen=True, slots=True)
class Curvature:
    """The ends of the spectrum of a loss's Hessian.

    Plain gradient descent is unstable above a learning rate of 2 / `largest` (Cohen et al. 2021,
    Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability).

    Args:
        largest: Largest eigenvalue, in units of loss / weight^2.
        smallest: Smallest one, negative where the loss bends downwards.
        products: Products with the Hessian that it took.
    """

    largest: float
    smallest: float
    products: int


def extreme_eigenvalues(
    product: Callable[[Array], Array], size: int, *, products: int = _PRODUCTS, seed: int = 0
) -> Curvature:
    """Estimate the ends of the spectrum of a symmetric matrix by Lanczos's iteration.

    The estimates lie inside of the spectrum, and close in on its ends. All directions are kept
    orthogonal to each other, without which the iteration loses them to rounding. Source: Golub and
    Van Loan 2013, Matrix Computations, section 10.1.

    Args:
        product: Returns the matrix times a vector of shape (size,).
        size: Rows of the matrix, >= 1.
        products: Products at most, >= 1.
        seed: Of the first direction.

    Returns:
        NaN for both where a product is not finite.

    Example:
        >>> matrix = np.diag([3.0, 1.0, -2.0])
        >>> found = extreme_eigenvalues(lambda v: matrix @ v, 3)
        >>> round(found.largest, 6), round(found.smallest, 6)
        (3.0, -2.0)
    """
    direction = np.random.default_rng(seed).normal(size=size)
    direction /= np.linalg.norm(direction)
    basis: list[Array] = []
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(products, size)):
        image = np.asarray(product(direction), np.float64)
        if not np.isfinite(image).all():
            return Curvature(float("nan"), float("nan"), len(basis) + 1)
        basis.append(direction)
        diagonal.append(float(direction @ image))
        length = float(np.linalg.norm(image))
        for _ in range(2):  # once is not enough (Parlett and Kahan: twice is)
            for other in basis:
                image = image - (other @ image) * other
        rest = float(np.linalg.norm(image))
        if rest <= _EXHAUSTED * length:
            break
        beside.append(rest)
        direction = image / rest
    count = len(diagonal)
    matrix = np.diag(diagonal)
    for i, value in enumerate(beside[: count - 1]):
        matrix[i, i + 1] = matrix[i + 1, i] = value
    values = np.linalg.eigvalsh(matrix)
    return Curvature(float(values[-1]), float(values[0]), count)
