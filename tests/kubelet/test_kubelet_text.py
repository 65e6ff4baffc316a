"""The kubelet's small pure parts: names, variables, hosts, resolvers, durations, back-off."""

import base64

import orjson
import pytest
from kubelet_objects import container, pod

from kapi.kubelet.backoff import BackOff
from kapi.kubelet.downward import field_text, resource_text
from kapi.kubelet.expansion import MissingVariable, expand_known, expand_strict
from kapi.kubelet.go_text import go_duration
from kapi.kubelet.image_reference import InvalidImageName, parse_image, pull_policy
from kapi.kubelet.network_files import (
    ClusterDns,
    HostnameTooLong,
    Resolver,
    hosts_file,
    kernel_hostname,
    parse_resolv_conf,
    resolver_of,
)
from kapi.kubelet.pull_credentials import credentials_for
from kapi.kubelet.qos import oom_score_adjust, pod_requests, qos_class, runtime_resources
from kapi.kubelet.service_environment import service_variables
from kapi.kubelet.volumes.subpaths import check_sub_path

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "one"),
        ("x$(A)y$(B)", "xoney"),
        ("$(NOPE)", "$(NOPE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("end$", "end$"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand_known(text, {"A": "one", "B": ""}) == expected


def test_strict_expansion_wants_a_value() -> None:
    assert expand_strict("$(A)/x", {"A": "one"}) == "one/x"
    for name in ("B", "C"):
        with pytest.raises(MissingVariable, match=f"missing value for {name}"):
            expand_strict(f"$({name})", {"B": ""})


@pytest.mark.parametrize(
    ("image", "complete", "registry", "policy"),
    [
        ("nginx", "nginx:latest", "docker.io", "Always"),
        ("nginx:1.2", "nginx:1.2", "docker.io", "IfNotPresent"),
        ("lib/nginx:latest", "lib/nginx:latest", "docker.io", "Always"),
        ("localhost/x:1", "localhost/x:1", "localhost", "IfNotPresent"),
        ("10.0.0.1:5000/a/b", "10.0.0.1:5000/a/b:latest", "10.0.0.1:5000", "Always"),
        ("r.io/a@sha256:" + "a" * 64,) * 2 + ("r.io", "IfNotPresent"),
    ],
)
def test_image_names(image: str, complete: str, registry: str, policy: str) -> None:
    found = parse_image(image)
    assert (found.complete, found.registry, pull_policy("", found)) == (complete, registry, policy)


@pytest.mark.parametrize("image", ["", "UPPER", "a b", "a:", "a/", "-x", "x@sha256:12", "a" * 64])
def test_bad_image_names(image: str) -> None:
    if image == "a" * 64:
        image = "0123456789abcdef" * 4
    with pytest.raises(InvalidImageName, match="Failed to apply default image tag"):
        parse_image(image)


def test_credentials_are_found_by_host_and_path() -> None:
    def secret(**servers: str) -> dict[str, object]:
        auths = {
            server: {"auth": base64.b64encode(text.encode()).decode()}
            for server, text in servers.items()
        }
        data = base64.b64encode(orjson.dumps({"auths": auths})).decode()
        return {"data": {".dockerconfigjson": data}}

    secrets = [secret(**{"r.io/team": "a:1", "r.io": "b:2", "https://index.docker.io/v1/": "c:3"})]
    users = [auth.username for auth in credentials_for(parse_image("r.io/team/x"), secrets)]
    assert users == ["a", "b"]
    assert [a.username for a in credentials_for(parse_image("r.io/other"), secrets)] == ["b"]
    assert [a.username for a in credentials_for(parse_image("nginx"), secrets)] == ["c"]
    assert credentials_for(parse_image("elsewhere.io/x"), secrets) == []


@pytest.mark.parametrize(
    "auths",
    [None, [1], {"r.io": None}, {"r.io": "a:1"}, {"r.io": {"auth": 5}}, {"r.io": {"auth": "ü"}}],
)
def test_a_pull_secret_that_makes_no_sense_is_passed_over(auths: object) -> None:
    data = base64.b64encode(orjson.dumps({"auths": auths})).decode()
    secret = {"data": {".dockerconfigjson": data}}
    assert credentials_for(parse_image("r.io/x"), [secret]) == []


def test_service_variables() -> None:
    services = [
        {
            "metadata": {"namespace": "default", "name": "kubernetes"},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]},
        },
        {
            "metadata": {"namespace": "ns", "name": "my-db"},
            "spec": {
                "clusterIP": "fd00::5",
                "ports": [{"port": 53, "protocol": "UDP"}, {"name": "a-b", "port": 80}],
            },
        },
        {"metadata": {"namespace": "ns", "name": "headless"}, "spec": {"clusterIP": "None"}},
    ]
    found = service_variables(services, "ns", links=True)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert found["MY_DB_PORT"] == found["MY_DB_PORT_53_UDP"] == "udp://[fd00::5]:53"
    assert found["MY_DB_SERVICE_PORT_A_B"] == "80"
    assert found["MY_DB_PORT_80_TCP_ADDR"] == "fd00::5"
    assert not any(name.startswith("HEADLESS") for name in found)
    only = service_variables(services, "ns", links=False)
    assert all(name.startswith("KUBERNETES_") for name in only)


def test_hosts_files() -> None:
    spec = pod(hostname="me", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x"]}])
    text = hosts_file(spec, ["10.0.0.7"], "cluster.local", "")
    assert text.splitlines()[-4:] == [
        "10.0.0.7\tme.sub.ns.svc.cluster.local\tme",
        "",
        "# Entries added by HostAliases.",
        "1.2.3.4\tx",
    ]
    assert hosts_file(pod(hostNetwork=True), [], "c", "127.0.0.1 host\n") == (
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 host\n"
    )


def test_long_names() -> None:
    assert kernel_hostname(pod(hostname="a" * 62 + "-b"), "c") == "a" * 62
    with pytest.raises(HostnameTooLong, match="is too long"):
        kernel_hostname(pod(setHostnameAsFQDN=True, hostname="a" * 60, subdomain="b"), "c")


HOST = parse_resolv_conf("search a.\nnameserver 9.9.9.9\nsearch corp.example .\noptions x:1\n")
DNS = ClusterDns(("10.96.0.10",), "cluster.local", HOST)
CLUSTER_SEARCH = ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, Resolver(("10.96.0.10",), CLUSTER_SEARCH, ("ndots:5",))),
        ({"hostNetwork": True}, Resolver(("9.9.9.9",), ("corp.example",), ("x:1",))),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            Resolver(("10.96.0.10",), CLUSTER_SEARCH, ("ndots:5",)),
        ),
        ({"dnsPolicy": "Default"}, Resolver(("9.9.9.9",), ("corp.example",), ("x:1",))),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["s"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            Resolver(("1.1.1.1",), ("s",), ("ndots:2", "edns0")),
        ),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
            Resolver(("10.96.0.10",), CLUSTER_SEARCH, ("ndots:1",)),
        ),
    ],
)
def test_resolvers(spec: dict[str, object], expected: Resolver) -> None:
    assert resolver_of(pod(**spec), DNS) == (expected, [])


def test_resolver_limits_are_told() -> None:
    servers = ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]
    found, warnings = resolver_of(pod(dnsPolicy="None", dnsConfig={"nameservers": servers}), DNS)
    assert found.servers == ("1.1.1.1", "2.2.2.2", "3.3.3.3")
    assert warnings == [
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3"
    ]


def test_downward_fields() -> None:
    spec = pod(metadata={"labels": {"b": 'x"y', "a": "1"}}, nodeName="n")
    assert field_text(spec, "metadata.labels", {}) == 'a="1"\nb="x\\"y"'
    assert field_text(spec, "metadata.labels['a']", {}) == "1"
    assert field_text(spec, "metadata.annotations['nope']", {}) == ""
    assert field_text(spec, "status.podIPs", {"pod": ("1.1.1.1", "::1")}) == "1.1.1.1,::1"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "33"),
        ({"resource": "limits.memory", "divisor": "1Gi"}, "4"),
        ({"resource": "requests.ephemeral-storage"}, "0"),
    ],
)
def test_downward_resources(selector: dict[str, str], expected: str) -> None:
    main = container(resources={"limits": {"cpu": "1500m"}, "requests": {"memory": "33000Ki"}})
    assert resource_text(main, pod(main), selector, {"memory": "4Gi"}) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0171, "17ms"), (1.2345, "1.234s"), (2.0, "2s"), (125.5, "2m5.5s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_back_off_doubles_and_forgets() -> None:
    back_off, end = BackOff(), 1000.0
    assert not back_off.waiting("k", end, end)
    delays = []
    for _ in range(7):
        back_off.next("k", end, end)
        delays.append(back_off.delay("k"))
        assert back_off.waiting("k", end, end + delays[-1] - 1)
        assert not back_off.waiting("k", end, end + delays[-1])
        end += delays[-1]
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert not back_off.waiting("k", end + 601, end + 601)
    back_off.next("k", end + 601, end + 601)
    assert back_off.delay("k") == 10


def test_quality_of_service() -> None:
    both = {"cpu": "1", "memory": "1Gi"}
    assert qos_class(pod()) == "BestEffort"
    assert qos_class(pod(container(resources={"requests": {"cpu": "1"}}))) == "Burstable"
    assert qos_class(pod(container(resources={"limits": both}))) == "Guaranteed"
    guaranteed = pod(container(resources={"limits": both, "requests": both}))
    assert qos_class(guaranteed) == "Guaranteed"
    assert oom_score_adjust(guaranteed, guaranteed["spec"]["containers"][0], GIB) == -997
    some = pod(container(resources={"requests": {"memory": "256Mi"}}))
    assert oom_score_adjust(some, some["spec"]["containers"][0], GIB) == 750


def test_limits_in_the_runtimes_units() -> None:
    main = container(
        resources={"limits": {"cpu": "250m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}
    )
    found = runtime_resources(pod(main), main, GIB)
    assert (found.cpu_shares, found.cpu_quota_microseconds) == (102, 25_000)
    assert found.memory_bytes == 64 * 1024 * 1024
    assert runtime_resources(pod(), container(), GIB).cpu_shares == 2


def test_a_pod_asks_for_its_peak() -> None:
    def asks(name: str, cpu: str, **fields: object) -> dict[str, object]:
        return container(name, resources={"requests": {"cpu": cpu}}, **fields)

    spec = pod(
        asks("main", "1"),
        initContainers=[asks("s", "2", restartPolicy="Always"), asks("i", "3")],
        overhead={"cpu": "1"},
    )
    assert pod_requests(spec)["cpu"] == 6


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../b"])
def test_sub_paths_that_leave(path: str) -> None:
    with pytest.raises(ValueError, match="SubPath"):
        check_sub_path(path)
