"""The search space: sanitized once, and kept so for the whole search."""
