"""The rendered rules in a real kernel: a node, two pods and an outside host as namespaces.

outside 192.0.2.9 --- 192.0.2.1 node 10.244.0.1 --- bridge --- pod-1 .5, pod-2 .6
"""

import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proxy.proxy_objects import endpoint, endpoint_slice, port, service

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"),
        reason="needs root, nft and ip",
    ),
]

HERE = Path(__file__).parent
WEB = "10.96.0.20"


class Lab:
    """Four namespaces of this test's own."""

    def __init__(self):
        self.tag = f"kp{os.getpid()}"
        self.servers = []

    def name(self, role):
        return f"{self.tag}-{role}"

    def run(self, role, *argv, text=None):
        full = ["ip", "netns", "exec", self.name(role), *argv]
        done = subprocess.run(full, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def build(self):
        for role in ("node", "pod1", "pod2", "outside"):
            _ip("netns", "add", self.name(role))
            self.run(role, "ip", "link", "set", "lo", "up")
        self.run("node", "ip", "link", "add", "kb0", "type", "bridge")
        self.run("node", "ip", "addr", "add", "10.244.0.1/16", "dev", "kb0")
        self.run("node", "ip", "link", "set", "kb0", "up")
        for number, role in ((5, "pod1"), (6, "pod2")):
            self.cable(role, f"veth{number}", f"10.244.0.{number}/16", "10.244.0.1")
            self.run("node", "ip", "link", "set", f"veth{number}", "master", "kb0")
        self.cable("outside", "veth9", "192.0.2.9/24", "192.0.2.1")
        self.run("node", "ip", "addr", "add", "192.0.2.1/24", "dev", "veth9")
        self.run("node", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for role in ("pod1", "pod2", "outside"):
            self.serve(role)

    def cable(self, role, node_end, address, gateway):
        names = ["name", node_end, "type", "veth", "peer", "name", "eth0"]
        self.run("node", "ip", "link", "add", *names, "netns", self.name(role))
        self.run("node", "ip", "link", "set", node_end, "up")
        self.run(role, "ip", "addr", "add", address, "dev", "eth0")
        self.run(role, "ip", "link", "set", "eth0", "up")
        self.run(role, "ip", "route", "add", "default", "via", gateway)

    def serve(self, role):
        argv = ["ip", "netns", "exec", self.name(role), sys.executable, HERE / "namespace_peer.py"]
        argv += ["serve", role, "8080"]
        process = subprocess.Popen([str(part) for part in argv], stdout=subprocess.PIPE, text=True)
        self.servers.append(process)
        assert process.stdout.readline() == "ready\n"

    def apply(self, services, slices, bridge_filtered=True, cleanup=False):
        state = {
            "bridge": "kb0",
            "services": services,
            "slices": slices,
            "bridge_filtered": bridge_filtered,
            "cleanup": cleanup,
        }
        driver = str(HERE / "namespace_driver.py")
        full = ["ip", "netns", "exec", self.name("node"), sys.executable, driver]
        done = subprocess.run(
            full,
            input=json.dumps(state),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        assert done.returncode == 0, done.stderr
        assert "replacing the table" not in done.stderr

    def ask(self, role, mode, address, number, *more):
        script = str(HERE / "namespace_peer.py")
        argv = [sys.executable, script, mode, address, str(number), *map(str, more)]
        return self.run(role, *argv).split("\n")[:-1]

    def close(self):
        for process in self.servers:
            process.kill()
            process.wait()
            process.stdout.close()
        for role in ("node", "pod1", "pod2", "outside"):
            subprocess.run(["ip", "netns", "del", self.name(role)], capture_output=True)


def _ip(*argv):
    subprocess.run(["ip", *argv], check=True, capture_output=True)


@pytest.fixture(scope="module")
def lab():
    made = Lab()
    try:
        made.build()
        yield made
    finally:
        made.close()


def web(**spec):
    return service("web", WEB, port(80, name="http", node_port=30080), type="NodePort", **spec)


def web_slice(*addresses):
    return endpoint_slice(
        "web", [("http", "TCP", 8080)], *[endpoint(address) for address in addresses]
    )


BOTH = ("10.244.0.5", "10.244.0.6")


def test_every_way_to_a_service(lab):
    lab.apply([web(externalIPs=["198.51.100.7"])], [web_slice(*BOTH)])

    for role in ("node", "pod1"):
        answers = lab.ask(role, "tcp", WEB, 80, 24)
        names = collections.Counter(answer.split()[0] for answer in answers)
        assert set(names) == {"pod1", "pod2"}, answers
    pod_answers = lab.ask("pod2", "tcp", WEB, 80, 16)
    # Another pod sees the caller's own address; the caller itself sees the node's.
    assert set(pod_answers) == {"pod1 10.244.0.6", "pod2 10.244.0.1"}
    for role, address in (
        ("node", "192.0.2.1"),
        ("node", "127.0.0.1"),
        ("node", "10.244.0.1"),
        ("pod1", "192.0.2.1"),
        ("outside", "192.0.2.1"),
    ):
        answers = set(lab.ask(role, "tcp", address, 30080, 8))
        assert answers <= {"pod1 10.244.0.1", "pod2 10.244.0.1"}, (role, address, answers)
    assert lab.ask("node", "tcp", "198.51.100.7", 80) != ["TimeoutError"]
    assert "pod" in lab.ask("outside", "tcp", WEB, 80)[0]


def test_refused_without_endpoints_and_guarded_elsewhere(lab):
    lab.apply([web()], [web_slice()])

    for role in ("node", "pod1", "outside"):
        assert lab.ask(role, "tcp", WEB, 80) == ["ConnectionRefusedError"], role
        # On the node itself the kernel refuses the sending, before anything is sent.
        refusal = "PermissionError" if role == "node" else "ConnectionRefusedError"
        assert lab.ask(role, "udp", WEB, 80) == [refusal], role
        assert lab.ask(role, "tcp", WEB, 81) == ["ConnectionRefusedError"], role
        assert lab.ask(role, "tcp", "10.96.200.200", 80) == ["ConnectionRefusedError"], role
        assert lab.ask(role, "tcp", "192.0.2.1", 30080) == ["ConnectionRefusedError"], role


def test_session_affinity_holds_and_survives_a_rewrite(lab):
    sticky = [web(sessionAffinity="ClientIP")], [web_slice(*BOTH)]
    lab.apply(*sticky)
    first = lab.ask("outside", "tcp", "192.0.2.1", 30080, 12)
    lab.apply(*sticky)
    second = lab.ask("outside", "tcp", "192.0.2.1", 30080, 12)

    assert len(set(first + second)) == 1


def test_local_policy_keeps_the_client_address(lab):
    elsewhere = endpoint_slice(
        "web",
        [("http", "TCP", 8080)],
        endpoint("10.244.0.5"),
        endpoint("10.244.0.6", node="node-b"),
    )
    lab.apply([web(externalTrafficPolicy="Local")], [elsewhere])

    assert set(lab.ask("outside", "tcp", "192.0.2.1", 30080, 8)) == {"pod1 192.0.2.9"}


def test_udp_clients_move_to_the_new_endpoint(lab):
    dns = service("dns", "10.96.0.10", port(53, name="dns", protocol="UDP"))

    def backed_by(address):
        return endpoint_slice("dns", [("dns", "UDP", 8080)], endpoint(address))

    lab.apply([dns], [backed_by("10.244.0.5")])
    assert lab.ask("node", "udp-keep", "10.96.0.10", 53, 45000)[0].split()[0] == "pod1"
    lab.apply([dns], [backed_by("10.244.0.6")])
    assert lab.ask("node", "udp-keep", "10.96.0.10", 53, 45000)[0].split()[0] == "pod2"


def test_pods_reach_outside_behind_the_node(lab):
    lab.apply([], [])
    lab.run("outside", "ip", "route", "del", "default")
    try:
        # The outside host has no way to pod addresses: only a masqueraded question is answered.
        assert lab.ask("pod1", "tcp", "192.0.2.9", 8080) == ["outside 192.0.2.1"]
    finally:
        lab.run("outside", "ip", "route", "add", "default", "via", "192.0.2.1")


def test_same_bridge_without_bridge_filtering(lab):
    # Late in the file: here the kernel sends ICMP redirects, which count against its own limit.
    lab.run("node", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
    try:
        lab.apply([web()], [web_slice("10.244.0.5")], bridge_filtered=False)
        lab.run("node", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0")
        assert lab.ask("pod2", "tcp", WEB, 80) == ["pod1 10.244.0.1"]
        assert lab.ask("pod1", "tcp", WEB, 80) == ["pod1 10.244.0.1"]
    finally:
        lab.run("node", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")


def test_cleanup_leaves_nothing(lab):
    lab.apply([web()], [web_slice(*BOTH)])
    lab.apply([], [], cleanup=True)

    assert lab.run("node", "nft", "list", "ruleset") == ""
    assert "10.96" not in lab.run("node", "ip", "route")
    assert "kapi" not in lab.run("node", "ip", "link")
