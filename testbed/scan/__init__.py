"""Captures too big, or too many, to be explained one connection at a time."""
