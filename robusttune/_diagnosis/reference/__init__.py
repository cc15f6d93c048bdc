"""References to compare a fit with: constant predictions and small models."""
