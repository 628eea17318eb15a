"""How a connection opens, or fails to."""
