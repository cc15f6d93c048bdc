"""Where in the space of hyperparameters trials fail."""

from robusttune._regions.axes import INACTIVE, Axis
from robusttune._regions.find import find_regions
from robusttune._regions.region import Condition, Region

__all__ = ["INACTIVE", "Axis", "Condition", "Region", "find_regions"]
