"""The ways to end by RST."""
