"""Every active namespace has a ServiceAccount named `default`."""
