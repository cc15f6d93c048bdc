"""Where in the space of hyperparameters trials fail."""

from robusttune.regions.axes import INACTIVE, Axis
from robusttune.regions.find import find_regions
from robusttune.regions.region import Condition, Region

__all__ = ["INACTIVE", "Axis", "Condition", "Region", "find_regions"]
