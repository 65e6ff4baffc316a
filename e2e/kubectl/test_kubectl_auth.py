"""`kubectl auth`, impersonation, and certificates."""

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness import Client, CommandFailed, eventually
from meaning import assert_holds, columns

_ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [get, list]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}]
"""

QUESTIONS: list[tuple[str, str]] = [
    ("get pods", "yes"),
    ("list pods --as=alice", "yes"),
    ("get pods/web --as=alice", "yes"),
    ("get pods --subresource=log --as=alice", "yes"),
    ("delete pods --as=alice", "no"),
    ("list pods -A --as=alice", "no"),
    ("get secrets --as=alice", "no"),
    ("get /healthz --as=alice", "yes"),
    ("get /logs/ --as=alice", "no"),
    ("* * --as=alice", "no"),
    ("* *", "yes"),
    ("list pods --as=bob --as-group=dev", "no"),
]


def _reconcile(kubectl: Client, manifest: str, *flags: str) -> str:
    """The command takes the namespace from the manifest alone."""
    placed = manifest.replace("NAMESPACE", kubectl.namespace)
    return kubectl("auth", "reconcile", "-f", "-", *flags, stdin=placed)


def test_can_i(kubectl: Client) -> None:
    _reconcile(kubectl, _ROLES)
    for question, expected in QUESTIONS:
        answer = kubectl.run("auth", "can-i", *question.split(), check=False)
        assert answer.stdout.split()[0] == expected, question
        assert answer.returncode == (0 if expected == "yes" else 1), question
    quiet = kubectl.run("auth", "can-i", "delete", "pods", "-q", "--as=alice", check=False)
    assert (quiet.returncode, quiet.stdout) == (1, "")


def test_can_i_list(kubectl: Client) -> None:
    _reconcile(kubectl, _ROLES)
    rows = columns(kubectl("auth", "can-i", "--list", "--as=alice"))
    pods = next(row for row in rows if row["Resources"] == "pods")
    assert pods["Verbs"] == "[get list]"
    assert any(row["Non-Resource URLs"] == "[/version]" for row in rows)
    mine = columns(kubectl("auth", "can-i", "--list"))
    assert any(row["Resources"] == "*.*" and row["Verbs"] == "[*]" for row in mine)


def test_who_am_i(kubectl: Client) -> None:
    me = kubectl.json("auth", "whoami")
    assert me["kind"] == "SelfSubjectReview"
    assert "system:authenticated" in me["status"]["userInfo"]["groups"]
    flags = ["--as=alice", "--as-uid=7", "--as-group=dev", "--as-user-extra=floor=third"]
    alice = kubectl.json("auth", "whoami", *flags)["status"]["userInfo"]
    assert_holds(alice, {"username": "alice", "uid": "7", "extra": {"floor": ["third"]}})
    assert set(alice["groups"]) == {"dev", "system:authenticated"}
    robot = "system:serviceaccount:default:default"
    assert robot in kubectl("auth", "whoami", f"--as={robot}")


def test_reconcile(kubectl: Client) -> None:
    assert "reconciled" in _reconcile(kubectl, _ROLES)
    wider = _ROLES.replace("[get, list]", "[get, list, watch]")
    _reconcile(kubectl, wider, "--dry-run=client")
    rules = kubectl.json("get", "role", "reader")["rules"]
    assert not any("watch" in rule["verbs"] for rule in rules)
    _reconcile(kubectl, wider)
    _reconcile(kubectl, _ROLES)
    rules = kubectl.json("get", "role", "reader")["rules"]
    assert any("watch" in rule["verbs"] for rule in rules), "reconcile only adds"
    _reconcile(kubectl, _ROLES, "--remove-extra-permissions", "--remove-extra-subjects")
    rules = kubectl.json("get", "role", "reader")["rules"]
    assert not any("watch" in rule["verbs"] for rule in rules)


def test_denied_requests_say_why(kubectl: Client) -> None:
    expected = (
        f'pods is forbidden: User "alice" cannot list resource "pods" in API group "" '
        f'in the namespace "{kubectl.namespace}"'
    )
    with pytest.raises(CommandFailed, match="Forbidden") as refused:
        kubectl("get", "pods", "--as=alice")
    assert expected in str(refused.value)
    with pytest.raises(CommandFailed, match="cannot impersonate-on:user-info:list resource"):
        # The kubeconfig's own identity does the first step, alice may not do the second.
        token = kubectl("create", "token", "default").strip()
        _as_token(kubectl, token)("get", "pods", "--as=bob")


def _as_token(kubectl: Client, token: str) -> Client:
    """kubectl that has nothing but a bearer token."""
    view = kubectl.json("config", "view", "--raw", "--minify")
    view["users"][0]["user"] = {"token": token}
    path = Path(f"{kubectl.environment['KUBECONFIG']}.{kubectl.namespace}")
    path.touch(mode=0o600)
    path.write_text(json.dumps(view))
    environment = {**kubectl.environment, "KUBECONFIG": str(path)}
    return Client(kubectl.program, environment, kubectl.namespace)


def test_a_service_account_may_do_what_it_was_bound_to(kubectl: Client) -> None:
    kubectl("create", "serviceaccount", "robot")
    robot = _as_token(kubectl, kubectl("create", "token", "robot").strip())
    who = robot.json("auth", "whoami")["status"]["userInfo"]["username"]
    assert who == f"system:serviceaccount:{kubectl.namespace}:robot"
    with pytest.raises(CommandFailed, match="Forbidden"):
        robot("get", "configmaps")
    subject = f"--serviceaccount={kubectl.namespace}:robot"
    kubectl("create", "rolebinding", "robot", "--clusterrole=view", subject)
    eventually(lambda: robot.run("get", "configmaps", check=False).returncode == 0, timeout_s=5)
    with pytest.raises(CommandFailed, match="Forbidden"):
        robot("get", "secrets")
    with pytest.raises(CommandFailed, match="attempting to grant RBAC permissions"):
        kubectl("create", "role", "maker", "--verb=create,get", "--resource=roles")
        kubectl("create", "rolebinding", "maker", "--role=maker", subject)
        robot("create", "role", "more", "--verb=get", "--resource=secrets")


def _signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "carol"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "dev"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.mark.parametrize("verb, condition", [("approve", "Approved"), ("deny", "Denied")])
def test_certificates(kubectl: Client, verb: str, condition: str) -> None:
    if "certificates.k8s.io/v1" not in kubectl("api-versions").split():
        pytest.skip("this server does not serve certificates.k8s.io/v1")
    manifest = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": f"{kubectl.namespace}-{verb}"},
        "spec": {
            "request": _signing_request(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    name = f"{kubectl.namespace}-{verb}"
    kubectl("certificate", verb, name)
    read = kubectl.json("get", "csr", name)
    assert [item["type"] for item in read["status"]["conditions"]] == [condition]
    assert "carol" in kubectl("describe", "csr", name)
