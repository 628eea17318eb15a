"""The orderly ways to close."""
