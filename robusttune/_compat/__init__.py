"""Private APIs of the hosts that robusttune uses: one module a host, nothing elsewhere.

Each function says why it is needed, and tests/test_compat.py shows with the real host that it does
what the rest relies on: an upgrade that breaks one fails there first. Private attributes that other
modules use in place are listed at the top of the module of their host; a test holds the lists.

Nothing is imported here, and `optuna` and `keras` import no TensorFlow by themselves.
"""
