"""What differs between Keras's backends in a diagnosis: gradients, and how steps are compiled."""
