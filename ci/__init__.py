"""What CI runs and what a person types; a package so that its Python is found by its name."""
