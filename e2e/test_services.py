"""Services of every type, reached from the machine and from pods, and found by name."""

import errno
import socket
import struct

import pytest
from harness import Client, eventually
from tour import (
    BUSYBOX,
    deploy,
    expose,
    http_get,
    pod,
    pod_names,
    pods,
    until_answered_by,
    wait_ready,
)

_DNS_SERVER = "10.96.0.10"
_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {%s}
"""
_SRV = 33


@pytest.fixture
def asker(kubectl: Client) -> Client:
    """A pod with a shell: `asker("exec", "asker", "--", ...)`."""
    kubectl("run", "asker", f"--image={BUSYBOX}", "--", "sleep", "600")
    wait_ready(kubectl, "pod/asker")
    return kubectl


def _in_pod(kubectl: Client, *command: str) -> str:
    return kubectl("exec", "asker", "--", *command)


def _looked_up(kubectl: Client, name: str) -> set[str]:
    """Addresses that a pod finds for the name, by its own resolv.conf."""
    # It goes on through the search list after a hit, and fails for the misses.
    said = kubectl("exec", "asker", "--", "nslookup", "-type=a", name, check=False)
    answer = said.partition("Name:")[2]
    return {line.split()[-1] for line in answer.splitlines() if line.startswith("Address")}


def test_a_pod_reaches_another_pod_and_the_service_and_itself(
    kubectl: Client, asker: Client
) -> None:
    deploy(kubectl, 1)
    address = expose(kubectl)
    (web,) = pods(kubectl)
    name, ip = web["metadata"]["name"], web["status"]["podIP"]
    for url in (f"http://{ip}:8080/", f"http://{address}/", "http://web/"):
        assert _in_pod(kubectl, "wget", "-q", "-O", "-", url).split() == ["v1", name]
    # Through its own Service, which needs the source address changed.
    assert (
        kubectl("exec", name, "--", "wget", "-q", "-O", "-", f"http://{address}/").split()[1]
        == name
    )
    # Between pods the source address is the client's own.
    seen = _in_pod(kubectl, "wget", "-q", "-O", "-", f"http://{address}/cgi-bin/whoami")
    assert f"{pod(kubectl, 'asker')['status']['podIP']}]\n" in seen


def test_a_node_port_answers_at_the_nodes_address(kubectl: Client, asker: Client) -> None:
    deploy(kubectl, 2)
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort")
    service = kubectl.json("get", "service", "web")["spec"]
    port = service["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    (node,) = kubectl.json("get", "nodes")["items"]
    addresses = {item["type"]: item["address"] for item in node["status"]["addresses"]}
    until_answered_by(addresses["InternalIP"], pod_names(kubectl), port)
    until_answered_by(service["clusterIP"], pod_names(kubectl))
    _in_pod(kubectl, "wget", "-q", "-O", "-", f"http://{addresses['InternalIP']}:{port}/")


def test_endpoints_follow_the_pods(kubectl: Client) -> None:
    deploy(kubectl, 2)
    address = expose(kubectl)
    until_answered_by(address, pod_names(kubectl))
    slices = kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    found = {at for item in slices for point in item["endpoints"] for at in point["addresses"]}
    assert found == {item["status"]["podIP"] for item in pods(kubectl)}
    kubectl("scale", "deployment", "web", "--replicas=1")
    eventually(lambda: len(pod_names(kubectl)) == 1)
    (left,) = pod_names(kubectl)
    eventually(lambda: _endpoints(kubectl) == [left])
    assert {http_get(address).split()[1] for _ in range(10)} == {left}


def _endpoints(kubectl: Client) -> list[str]:
    subsets = kubectl.json("get", "endpoints", "web").get("subsets") or []
    return [at["targetRef"]["name"] for part in subsets for at in part.get("addresses") or []]


def test_a_service_without_endpoints_refuses_at_once(kubectl: Client, asker: Client) -> None:
    kubectl.apply(_SERVICE % ("nobody", "selector: {app: nobody}, ports: [{port: 80}]"))
    address = kubectl("get", "service", "nobody", "-o", "jsonpath={.spec.clusterIP}")
    eventually(lambda: _refused(address), timeout_s=5, what="connection refused")
    refused = kubectl.run(
        *("exec", "asker", "--", "wget", "-O", "-", f"http://{address}/"), check=False
    )
    assert "Connection refused" in refused.stderr


def _refused(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(3)
        return probe.connect_ex((address, 80)) == errno.ECONNREFUSED


def test_a_headless_service_names_its_pods(kubectl: Client, asker: Client) -> None:
    deploy(kubectl, 2)
    wanted = "clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]"
    kubectl.apply(_SERVICE % ("web", wanted))
    addresses = {item["status"]["podIP"] for item in pods(kubectl)}
    domain = f"web.{kubectl.namespace}.svc.cluster.local"
    eventually(lambda: _looked_up(kubectl, domain) == addresses)
    targets = _srv(f"_http._tcp.{domain}")
    assert {port for port, _ in targets} == {8080}
    assert {name.split(".", 1)[1] for _, name in targets} == {domain}
    for _, name in targets:
        assert _looked_up(kubectl, name) < addresses


def test_srv_and_reverse_names_of_a_cluster_ip(kubectl: Client, asker: Client) -> None:
    ports = "ports: [{name: http, port: 80, targetPort: 8080}, {name: alt, port: 81}]"
    kubectl.apply(_SERVICE % ("web", f"selector: {{app: web}}, {ports}"))
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    domain = f"web.{kubectl.namespace}.svc.cluster.local"
    eventually(lambda: _srv(f"_http._tcp.{domain}") == {(80, domain)})
    assert _srv(f"_alt._tcp.{domain}") == {(81, domain)}
    assert _looked_up(kubectl, "web") == {address}
    assert f"name = {domain}" in _in_pod(kubectl, "nslookup", address)
    missing = kubectl.run(
        "exec", "asker", "--", "nslookup", "none.such.svc.cluster.local", check=False
    )
    assert "NXDOMAIN" in missing.stdout + missing.stderr


def test_an_external_name_is_an_alias(kubectl: Client, asker: Client) -> None:
    kubectl.apply(_SERVICE % ("out", "type: ExternalName, externalName: away.example.org"))
    name = f"out.{kubectl.namespace}.svc.cluster.local"
    said = eventually(
        lambda: kubectl("exec", "asker", "--", "nslookup", "-type=cname", name, check=False)
    )
    assert "canonical name = away.example.org" in said


def _srv(name: str) -> set[tuple[int, str]]:
    """Port and target of every SRV record, asked from the cluster's DNS over UDP."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    message = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack(">2H", _SRV, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(message, (_DNS_SERVER, 53))
        answer = client.recv(4096)
    count, at = struct.unpack_from(">H", answer, 6)[0], len(message)
    found = set()
    for _ in range(count):
        _, at = _name(answer, at)
        kind, length = struct.unpack_from(">H6xH", answer, at)
        at += 10
        assert kind == _SRV
        found.add((struct.unpack_from(">H", answer, at + 4)[0], _name(answer, at + 6)[0]))
        at += length
    return found


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at the offset, pointers followed, and the offset after it."""
    parts: list[str] = []
    after = 0
    while size := message[at]:
        if size >= 0xC0:
            after = after or at + 2
            at = struct.unpack_from(">H", message, at)[0] & 0x3FFF
            continue
        parts.append(message[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(parts), after or at + 1
