"""Where in the space of hyperparameters trials fail."""

from robusttune.regions.axes import Axis

__all__ = ["Axis"]
