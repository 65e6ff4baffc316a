"""What a new pod loses and gains before it is validated.

Source: `DropDisabledPodFields` in k8s.io/kubernetes `pkg/api/pod/util.go` and
`applySchedulingGatedCondition`, `applyMatchLabelKeysAndMismatchLabelKeys` in
`pkg/registry/core/pod/strategy.go`.
"""

from kapi.api.object import Object, labels_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def drop_disabled(spec: Object) -> None:
    """Remove fields of features that v1.36 has switched off by default."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            lifecycle = container.get("lifecycle")
            if lifecycle is not None and "stopSignal" in lifecycle:
                del lifecycle["stopSignal"]
                if not lifecycle:
                    del container["lifecycle"]
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            for disabled in ("clusterTrustBundle", "podCertificate"):
                source.pop(disabled, None)


def merge_match_label_keys(pod: Object) -> None:
    """Turn matchLabelKeys into expressions of the selector, with this pod's own values."""
    spec, own = pod.get("spec") or {}, labels_of(pod)
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        weighted = [item.get("podAffinityTerm") or {} for item in terms.get(_PREFERRED) or ()]
        for term in [*(terms.get(_REQUIRED) or ()), *weighted]:
            _merge(term, "matchLabelKeys", "In", own)
            _merge(term, "mismatchLabelKeys", "NotIn", own)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge(constraint, "matchLabelKeys", "In", own)


def _merge(holder: Object, field: str, operator: str, own: dict[str, str]) -> None:
    selector = holder.get("labelSelector")
    if selector is None:
        return
    for key in holder.get(field) or ():
        if key in own:
            expressions = selector.setdefault("matchExpressions", [])
            expressions.append({"key": key, "operator": operator, "values": [own[key]]})
