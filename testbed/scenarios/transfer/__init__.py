"""What a connection carries."""
