"""Isolation: a search's trials in a child process."""
