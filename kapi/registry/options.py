"""What a write may be asked to respect: preconditions and the options of a deletion."""

from dataclasses import dataclass

from kapi.registry.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold of the stored object for the write to happen; empty means anything."""

    uid: str = ""
    resource_version: str = ""


NO_PRECONDITIONS = Preconditions()


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions, checked."""

    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    orphan_dependents: bool | None = None
    preconditions: Preconditions = NO_PRECONDITIONS

    def finalizers(self, present: list[str], strategy: Strategy) -> list[str]:
        """The finalizers after this request asked for its kind of garbage collection.

        Source: deletionFinalizersForGarbageCollection in k8s.io/apiserver
        `pkg/registry/generic/registry/store.go`.
        """
        kept = [item for item in present if item not in ("orphan", "foregroundDeletion")]
        policy = self.propagation_policy
        if not policy and self.orphan_dependents is not None:
            policy = "Orphan" if self.orphan_dependents else "Background"
        if not policy:
            if len(kept) != len(present):
                return present  # an earlier choice stands
            policy = strategy.default_propagation
        if policy == "Orphan":
            return [*kept, "orphan"]
        if policy == "Foreground":
            return [*kept, "foregroundDeletion"]
        return kept
