"""Benchmarks: what is measured, each a module with a command line."""
