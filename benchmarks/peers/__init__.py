"""The same unstable searches with Keras Tuner, with Optuna and with robusttune."""
