"""Data and labels: what is wrong with them, or between them and the loss."""
