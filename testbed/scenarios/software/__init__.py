"""The programs with which the published experiments were made, and others."""
