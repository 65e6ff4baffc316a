"""Gives each node its block of pod addresses."""
