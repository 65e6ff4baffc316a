"""Watches over nodes: a silent one becomes Unknown, conditions become taints.

Source: upstream `pkg/controller/nodelifecycle`.
"""
