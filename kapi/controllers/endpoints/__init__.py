"""Endpoints: the older list of a service's addresses, one object per service."""
