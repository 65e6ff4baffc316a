"""Evicts pods from nodes with a NoExecute taint they do not, or no longer, tolerate."""
