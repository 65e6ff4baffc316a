"""Removes pods that nobody else will: finished ones in excess, those of vanished nodes, and
deleted ones that never had a node."""
