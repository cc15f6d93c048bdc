"""Keras Tuner's chief and workers."""
