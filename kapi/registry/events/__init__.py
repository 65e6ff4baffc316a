"""The kinds of events.k8s.io, and the conversion to the core Event that is stored."""
