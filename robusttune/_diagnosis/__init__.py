"""Diagnosis: from what a failed trial left behind to its cause.

Importing its parts loads no TensorFlow; only a diagnosis that has a model to look at does.
"""
