"""What each standard forbids, and with what words."""

from typing import Any

import pytest

from kapi.admission.pod_security.evaluate import violations
from kapi.admission.pod_security.levels import Standard, policy_of

BASELINE, RESTRICTED = Standard("baseline"), Standard("restricted")
GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(context: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "securityContext": context or {}}
    return {"containers": [container], **fields}


def test_a_plain_pod_is_baseline_and_a_hardened_one_restricted() -> None:
    assert violations({}, spec(), BASELINE) == []
    assert violations({}, spec(GOOD), RESTRICTED) == []


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (
            spec(hostNetwork=True, hostPID=True),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            spec({"privileged": True}),
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            spec({"capabilities": {"add": ["NET_ADMIN"]}}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'hostPath volumes (volume "v")',
        ),
        (
            spec(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            spec({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec({"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: '
            'type "spc_t"; user may not be set)',
        ),
    ],
)
def test_baseline(pod: dict[str, Any], text: str) -> None:
    assert violations({}, pod, BASELINE) == [text]


def test_host_ports_name_their_containers() -> None:
    pod = spec()
    pod["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80}]
    assert violations({}, pod, BASELINE) == ['hostPort (container "c" uses hostPort 80)']


def test_probe_hosts_are_forbidden_from_their_version_on() -> None:
    pod = spec()
    pod["containers"][0]["livenessProbe"] = {"httpGet": {"host": "x", "port": 80}}
    text = 'probe or lifecycle host (container "c" uses probe or lifecycle host "x")'
    assert violations({}, pod, BASELINE) == [text]
    assert violations({}, pod, Standard("baseline", "v1.33")) == []


def test_restricted_wants_everything_said() -> None:
    assert violations({}, spec(), RESTRICTED) == [
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false)",
        'unrestricted capabilities (container "c" must set '
        'securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")',
    ]


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (
            spec(GOOD, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        (
            spec(GOOD, securityContext={"runAsUser": 0}),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            spec(GOOD, securityContext={"runAsNonRoot": False}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
    ],
)
def test_restricted(pod: dict[str, Any], text: str) -> None:
    assert violations({}, pod, RESTRICTED) == [text]


def test_a_user_namespace_makes_root_harmless() -> None:
    pod = spec({**GOOD, "runAsNonRoot": False}, hostUsers=False)
    assert violations({}, pod, RESTRICTED) == []
    assert violations({}, pod, Standard("restricted", "v1.34")) != []


def test_windows_pods_need_no_linux_settings() -> None:
    pod = spec({"runAsNonRoot": True}, os={"name": "windows"})
    assert violations({}, pod, RESTRICTED) == []


def test_labels() -> None:
    prefix = "pod-security.kubernetes.io/"
    policy = policy_of({f"{prefix}enforce": "baseline", f"{prefix}enforce-version": "v1.99"})
    assert (str(policy.enforce), policy.enforce.minor) == ("baseline:v1.99", 36)
    assert policy.warn == policy.enforce
    assert policy.audit.level == "privileged"
    assert policy_of({f"{prefix}enforce": "nonsense"}).enforce == RESTRICTED
