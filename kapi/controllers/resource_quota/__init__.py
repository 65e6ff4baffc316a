"""Counts what a namespace uses of its quotas. Source: upstream `pkg/controller/resourcequota`."""
