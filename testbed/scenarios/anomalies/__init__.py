"""Connections that do not end as they should."""
