"""Trials in other processes: what they are sent, and child processes that run them."""
