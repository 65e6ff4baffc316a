"""TokenReview and SelfSubjectReview: questions, never stored; the server answers them."""

from kapi.api.object import Object
from kapi.registry.strategy import Strategy


class TokenReviewStrategy(Strategy):
    """The question is whose token it is."""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})


class SelfSubjectReviewStrategy(Strategy):
    """The question is who is asking."""
