"""EndpointSlice: a service's addresses in pieces of at most 100; and the mirror of Endpoints that
people write by hand."""
