"""The patch formats: JSON patch, merge patch, strategic merge patch, server-side apply.

Everything here is pure: inputs are never changed, results share no mutable part with them that a
caller might change by accident.
"""
