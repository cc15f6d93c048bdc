"""Backends: gradients and compiled steps for TensorFlow, PyTorch and JAX."""
