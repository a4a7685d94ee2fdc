"""erldist-proto."""
