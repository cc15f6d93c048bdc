"""Diagnosis: from what a failed trial left behind to its cause."""
