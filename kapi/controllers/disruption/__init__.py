"""Computes how many pods each PodDisruptionBudget may lose; takes back stale disruption marks."""
