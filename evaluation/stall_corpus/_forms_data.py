"""Data that the forms_*.py programs are made on: images, series, token sequences."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

F32 = np.float32


def digits(n: int = 1797) -> tuple[np.ndarray, np.ndarray]:
    """8x8 digits, 0..16, with a channel axis, and their ids."""
    x, y = load_digits(return_X_y=True)
    return x[:n].reshape(-1, 8, 8, 1).astype(F32), y[:n].astype(np.int32)


def bars(n: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images 0..1 with a horizontal bar, a vertical bar or a square."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.3, (n, size, size, 1)).astype(F32)
    y = rng.integers(0, 3, n)
    for i, kind in enumerate(y):
        r, c = rng.integers(1, size - 5, 2)
        if kind == 0:
            x[i, r, c : c + 5] += 0.7
        elif kind == 1:
            x[i, r : r + 5, c] += 0.7
        else:
            x[i, r : r + 3, c : c + 3] += 0.7
    return np.clip(x, 0, 1), y.astype(np.int32)


def discs(n: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images 0..1 with a bright disc, and its mask (0/1)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size]
    centre = rng.uniform(3, size - 3, (n, 2, 1, 1))
    radius = rng.uniform(2, 4, (n, 1, 1))
    mask = ((rows - centre[:, 0]) ** 2 + (cols - centre[:, 1]) ** 2 < radius**2).astype(F32)
    x = np.clip(0.6 * mask + rng.uniform(0, 0.4, mask.shape), 0, 1).astype(F32)
    return x[..., None], mask[..., None]


def waves(n: int, steps: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy sines of random phase; the class is the frequency."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    t = np.arange(steps)[None, :]
    turn = 0.15 * (1 + y)[:, None]
    x = np.sin(turn * t + rng.uniform(0, 6.28, (n, 1))) + rng.normal(0, 0.1, (n, steps))
    return x[..., None].astype(F32), y.astype(np.int32)


def recall(n: int, steps: int, first: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise; the label is whether the first few steps lie up or down."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(0, 0.3, (n, steps, 1))
    x[:, :first, 0] += (2 * y - 1)[:, None]
    return x.astype(F32), y.astype(F32)


def reviews(n: int, steps: int = 20, vocab: int = 40, seed: int = 0):
    """Token ids; the label is whether good words outnumber bad ones."""
    rng = np.random.default_rng(seed)
    mood = np.resize([1, -1, 1, -1, 0], vocab)
    x = rng.integers(0, vocab, (n, steps))
    total = mood[x].sum(axis=1)
    keep = total != 0
    return x[keep].astype(np.int32), (total[keep] > 0).astype(F32)


def tags(n: int, steps: int = 12, vocab: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and a tag (0..3) for every token, set by it and by the token before it."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, vocab, (n, steps))
    before = np.pad(x, ((0, 0), (1, 0)))[:, :-1]
    return x.astype(np.int32), (2 * (x % 2) + before % 2).astype(np.int32)


def prices(n: int, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a made-up price (tens of thousands) and the price that follows each."""
    rng = np.random.default_rng(seed)
    t = np.arange(n + steps)
    price = 40000 + 9000 * np.sin(t / 15) + 3000 * np.sin(t / 4) + rng.normal(0, 200, t.size)
    x = np.stack([price[i : i + steps] for i in range(n)])
    return x[..., None].astype(F32), price[steps : steps + n, None].astype(F32)
