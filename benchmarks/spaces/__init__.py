"""Published search spaces, by the library that they are written for."""
