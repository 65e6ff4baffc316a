"""Rows of the groups that extend or steer the API server, and of those around devices.

`table.py` puts them in order with the rest.
"""

from kapi.api.object import GroupVersionKind
from kapi.registry import subresources as sub
from kapi.registry.admissionregistration import bindings, policies, webhooks
from kapi.registry.apiregistration.api_service import APIServiceStrategy
from kapi.registry.autoscaling.conversion import STORED, to_v1, to_v2
from kapi.registry.autoscaling.horizontal_pod_autoscaler import HorizontalPodAutoscalerStrategy
from kapi.registry.autoscaling.legacy import LegacyAutoscalerStrategy
from kapi.registry.certificates.signing_request import (
    ApprovalStrategy,
    CertificateSigningRequestStrategy,
    SigningRequestStatusStrategy,
)
from kapi.registry.dynamic_resources.device_class import DeviceClassStrategy
from kapi.registry.dynamic_resources.resource_claim import (
    ResourceClaimStrategy,
    ResourceClaimTemplateStrategy,
)
from kapi.registry.dynamic_resources.resource_slice import ResourceSliceStrategy
from kapi.registry.flowcontrol.flow_schema import FlowSchemaStrategy
from kapi.registry.flowcontrol.priority_level import PriorityLevelConfigurationStrategy
from kapi.registry.resource import Resource, Subresource

_EXTENSIONS = ("api-extensions",)


def api_services() -> Resource:
    strategy = APIServiceStrategy()
    return Resource(
        "apiregistration.k8s.io", "v1", "APIService", "apiservices", False, strategy,
        categories=_EXTENSIONS,
        subresources=(sub.status(strategy, kept_metadata=("labels", "annotations")),),
    )  # fmt: skip


def autoscalers() -> tuple[Resource, ...]:
    """One set of stored objects, two versions; the newer is the stored one."""
    current = HorizontalPodAutoscalerStrategy()
    legacy = LegacyAutoscalerStrategy(current)
    group, kind, plural = STORED.group, STORED.kind, "horizontalpodautoscalers"
    return (
        Resource(
            group, "v2", kind, plural, True, current, "", ("hpa",), ("all",),
            subresources=(sub.status(current),),
        ),
        Resource(
            group, "v1", kind, plural, True, legacy, "", ("hpa",), ("all",),
            subresources=(sub.status(legacy),),
            storage_version=STORED, to_storage=to_v2, from_storage=to_v1,
        ),
    )  # fmt: skip


def signing_requests() -> Resource:
    strategy = CertificateSigningRequestStrategy()
    approval, status = ApprovalStrategy(strategy), SigningRequestStatusStrategy(strategy)
    return Resource(
        "certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests",
        False, strategy, "", ("csr",),
        subresources=(
            Subresource("approval", "store", sub.STATUS_VERBS, strategy=approval),
            Subresource("status", "store", sub.STATUS_VERBS, strategy=status),
        ),
    )  # fmt: skip


def admission_registrations() -> tuple[Resource, ...]:
    group = "admissionregistration.k8s.io"
    policy = policies.ValidatingAdmissionPolicyStrategy()
    rows = (
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies",
         policies.MutatingAdmissionPolicyStrategy()),
        ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings",
         bindings.MutatingAdmissionPolicyBindingStrategy()),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations",
         webhooks.MutatingWebhookConfigurationStrategy()),
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", policy),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings",
         bindings.ValidatingAdmissionPolicyBindingStrategy()),
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations",
         webhooks.ValidatingWebhookConfigurationStrategy()),
    )  # fmt: skip
    return tuple(
        Resource(
            group, "v1", kind, plural, False, strategy, categories=_EXTENSIONS,
            subresources=(sub.status(policy),) if strategy is policy else (),
            # As upstream's discovery has it; objects are stored as they are sent.
            storage_version=(
                GroupVersionKind(group, "v1beta1", kind)
                if kind.startswith("MutatingAdmissionPolicy") else None
            ),
        )
        for kind, plural, strategy in rows
    )  # fmt: skip


def dynamic_resources() -> tuple[Resource, ...]:
    group = "resource.k8s.io"
    claim, template = ResourceClaimStrategy(), ResourceClaimTemplateStrategy()
    device_class, device_slice = DeviceClassStrategy(), ResourceSliceStrategy()
    return (
        Resource(group, "v1", "DeviceClass", "deviceclasses", False, device_class),
        Resource(
            group, "v1", "ResourceClaim", "resourceclaims", True, claim,
            subresources=(sub.status(claim),),
        ),
        Resource(group, "v1", "ResourceClaimTemplate", "resourceclaimtemplates", True, template),
        Resource(group, "v1", "ResourceSlice", "resourceslices", False, device_slice),
    )  # fmt: skip


def flow_control() -> tuple[Resource, ...]:
    group = "flowcontrol.apiserver.k8s.io"
    schema, level = FlowSchemaStrategy(), PriorityLevelConfigurationStrategy()
    return (
        Resource(
            group, "v1", "FlowSchema", "flowschemas", False, schema,
            subresources=(sub.status(schema),),
        ),
        Resource(
            group, "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", False,
            level, subresources=(sub.status(level),),
        ),
    )  # fmt: skip
