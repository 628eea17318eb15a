"""Many connections at once."""
