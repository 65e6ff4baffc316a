"""TokenReview and SelfSubjectReview: questions, never stored."""

from kapi.api.errors import FieldError, required
from kapi.api.object import Object
from kapi.registry.strategy import Strategy


class TokenReviewStrategy(Strategy):
    """The question is whose token it is."""

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object) -> list[FieldError]:
        if not (obj.get("spec") or {}).get("token"):
            return [required("spec.token")]
        return []


class SelfSubjectReviewStrategy(Strategy):
    """The question is who is asking."""
