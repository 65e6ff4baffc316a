"""The request path, as one list, outermost first.

Order matters:
- metrics stand outside the panic guard, so that every answer counts, refusals and faults too;
- the panic guard comes next, so that every later failure becomes a Status;
- a timeout that makes no sense is refused before anything is asked of anybody;
- authentication comes before impersonation, which acts on an authenticated user's rights;
- the in-flight limit comes after both, since it lets cluster administrators through;
- authorization judges the identity that impersonation left, and is the last gate before a verb.
"""

from kapi.auth.interface import Authenticator, Authorizer
from kapi.server.config import ApiServerConfig
from kapi.server.exchange import Handler
from kapi.server.filters.authentication import with_authentication
from kapi.server.filters.authorization import with_authorization
from kapi.server.filters.impersonation import with_impersonation
from kapi.server.filters.max_in_flight import with_max_in_flight
from kapi.server.filters.metrics import with_metrics
from kapi.server.filters.panic import with_panic_guard
from kapi.server.filters.request_timeout import with_request_timeout


def build_chain(
    handler: Handler,
    config: ApiServerConfig,
    authenticator: Authenticator,
    authorizer: Authorizer,
) -> Handler:
    """The handler that ends a request, wrapped in every filter."""
    handler = with_authorization(handler, authorizer)
    handler = with_max_in_flight(handler, config.max_in_flight, config.max_mutating_in_flight)
    handler = with_impersonation(handler, authorizer)
    handler = with_authentication(handler, authenticator, config.anonymous_paths)
    handler = with_request_timeout(handler)
    return with_metrics(with_panic_guard(handler))
