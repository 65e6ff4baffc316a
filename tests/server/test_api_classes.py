"""What admission takes from classes, and what it lets signers and approvers do."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
JSON_PATCH = {"content-type": "application/json-patch+json"}


def signing_request(name: str, organization: str = "dev", **spec: Any) -> dict[str, Any]:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, "ann"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    body = {"request": pem, "signerName": "example.com/people", "usages": ["client auth"], **spec}
    return {"metadata": {"name": name}, "spec": body}


async def test_claims_get_the_newest_default_class(api, namespace):
    for name, default in (("slow", "false"), ("fast", "true")):
        meta = {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default},
        }
        body = {"metadata": meta, "provisioner": "example.com/p"}
        await api.admin("POST", "/apis/storage.k8s.io/v1/storageclasses", body)
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = (await api.admin("POST", path, {"metadata": {"name": "a"}, "spec": spec})).body
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    none = {"metadata": {"name": "b"}, "spec": {**spec, "storageClassName": ""}}
    assert (await api.admin("POST", path, none)).body["spec"]["storageClassName"] == ""
    larger = {**claim, "spec": {**claim["spec"], "resources": {"requests": {"storage": "2Gi"}}}}
    grown = await api.admin("PUT", f"{path}/a", larger)
    assert grown.status in (403, 422)


async def test_a_second_default_priority_class_is_refused(api):
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    body = {"metadata": {"name": "one"}, "value": 1, "globalDefault": True}
    assert (await api.admin("POST", path, body)).status == 201
    answer = await api.admin("POST", path, {**body, "metadata": {"name": "two"}})
    assert answer.message == (
        'priorityclasses.scheduling.k8s.io "two" is forbidden: PriorityClass one is already '
        "marked as default. Only one default can exist"
    )
    again = await api.admin("PUT", f"{path}/one", {**body, "description": "still"})
    assert again.status == 200


async def test_the_system_priority_classes_are_there_to_stay(api):
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    for name, value in (
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ):
        assert (await api.admin("GET", f"{path}/{name}")).body["value"] == value
        answer = await api.admin("DELETE", f"{path}/{name}")
        assert (answer.status, answer.message) == (
            403,
            f'priorityclasses.scheduling.k8s.io "{name}" is forbidden: '
            "this is a system priority class and cannot be deleted",
        )
        assert (await api.admin("GET", f"{path}/{name}")).status == 200
    body = {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}
    answer = await api.admin("POST", path, {**body, "globalDefault": True}, dryRun="All")
    assert answer.status == 422
    assert "globalDefault of system-node-critical PriorityClass must be false" in answer.message


async def test_the_range_of_service_addresses_is_an_object_that_is_ready(api):
    path = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes"
    found = (await api.admin("GET", path)).body
    assert found["spec"] == {"cidrs": ["10.96.0.0/16"]}
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")


async def test_a_pod_takes_overhead_from_its_runtime_class(api, namespace):
    body = {
        "metadata": {"name": "vm"},
        "handler": "vm",
        "overhead": {"podFixed": {"memory": "100Mi"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}},
    }
    await api.admin("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await api.admin("POST", account, {"metadata": {"name": "default"}})
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"runtimeClassName": "vm", "containers": [{"name": "c", "image": "i"}]}
    pod = (await api.admin("POST", path, {"metadata": {"name": "a"}, "spec": spec})).body
    assert pod["spec"]["overhead"] == {"memory": "100Mi"}
    assert pod["spec"]["nodeSelector"] == {"vm": "yes"}
    spec["runtimeClassName"] = "none"
    answer = await api.admin("POST", path, {"metadata": {"name": "b"}, "spec": spec})
    assert answer.message.endswith('pod rejected: RuntimeClass "none" not found')


async def test_a_request_says_who_asked_and_is_approved_once(api):
    created = await api.admin("POST", CSRS, signing_request("a", username="mallory"))
    assert created.body["spec"]["username"] == "admin"
    assert "managedFields" not in created.body["metadata"]
    approved = {"type": "Approved", "status": "True", "reason": "Known"}
    patch = [{"op": "add", "path": "/status/conditions", "value": [approved]}]
    path = f"{CSRS}/a"
    ignored = await api.admin("PATCH", path, patch, JSON_PATCH)
    assert ignored.body["status"] == {}
    done = await api.admin("PATCH", f"{path}/approval", patch, JSON_PATCH)
    assert done.body["status"]["conditions"][0]["lastUpdateTime"]
    denied = [
        {"op": "add", "path": "/status/conditions/-", "value": {**approved, "type": "Denied"}}
    ]
    answer = await api.admin("PATCH", f"{path}/approval", denied, JSON_PATCH)
    assert answer.status == 422
    assert "Approved and Denied conditions are mutually exclusive" in answer.message


async def test_nobody_asks_to_be_a_master(api):
    body = signing_request("m", "system:masters", signerName="kubernetes.io/kube-apiserver-client")
    answer = await api.admin("POST", CSRS, body)
    assert answer.message.endswith(
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )


@pytest.mark.parametrize(
    ("resources", "verbs", "endpoint", "expected"),
    [
        ("certificatesigningrequests/approval", ["update", "patch"], "approval", "approve"),
        ("certificatesigningrequests/status", ["update", "patch"], "status", "sign"),
    ],
)
async def test_signers_are_guarded_by_rights(api, resources, verbs, endpoint, expected):
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": ["certificates.k8s.io"], "resources": [resources], "verbs": verbs},
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests"],
            "verbs": ["get"],
        },
    ]
    role = {"metadata": {"name": "r"}, "rules": rules}
    await api.admin("POST", f"/apis/{group}/v1/clusterroles", role)
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "alice"}],
    }
    await api.admin("POST", f"/apis/{group}/v1/clusterrolebindings", binding)
    await api.admin("POST", CSRS, signing_request("a"))
    value = [{"type": "Failed", "status": "True"}]
    patch = [{"op": "add", "path": "/status/conditions", "value": value}]
    answer = await api.alice("PATCH", f"{CSRS}/a/{endpoint}", patch, JSON_PATCH)
    assert answer.status == 403
    assert answer.message.endswith(
        f'user not permitted to {expected} requests with signerName "example.com/people"'
    )
