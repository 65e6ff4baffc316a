"""Pod security standards: what pods of a namespace may not ask for.

Source: k8s.io/pod-security-admission `policy`, `api` and `admission`.
"""

from kapi.admission.pod_security.plugin import PodSecurity

__all__ = ["PodSecurity"]
