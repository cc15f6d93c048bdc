"""Stalls: fits that raise no alarm and learn nothing, and why."""
