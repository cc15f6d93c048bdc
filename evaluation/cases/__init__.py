"""Searches in which something goes wrong, with a host alone and with robusttune."""
