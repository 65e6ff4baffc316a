"""What each question gets: a table, and two promises for any set of Services."""

import pytest
from dns_objects import DOMAIN, cluster_ips, port, sample_zone, service, zone_of
from hypothesis import given
from hypothesis import strategies as st

from kapi.dns.records import Srv
from kapi.dns.zone import Verdict

ZONE = sample_zone()
WEB = "web.default.svc.cluster.local"
DB = "db.default.svc.cluster.local"
NO_DATA, NO_NAME, FORWARD = Verdict.NO_DATA, Verdict.NO_NAME, Verdict.FORWARD


def ask(name, kind, zone=ZONE):
    """The values of the answer, or the verdict when there is none."""
    reply = zone.reply(name, kind)
    if reply.verdict is Verdict.ANSWER:
        return [record.value for record in reply.answer]
    return reply.verdict


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (WEB, "A", ["10.96.0.20"]),
        (WEB, "AAAA", ["fd00::20"]),
        (WEB, "MX", NO_DATA),
        (WEB, "SRV", [Srv(50, 80, WEB), Srv(50, 443, WEB)]),
        (f"_http._tcp.{WEB}", "SRV", [Srv(100, 80, WEB)]),
        (f"_http._tcp.{WEB}", "A", ["10.96.0.20"]),
        (f"_http._udp.{WEB}", "SRV", NO_NAME),
        (f"_https._tcp.{WEB}", "SRV", NO_NAME),
        (f"10-244-0-5.{WEB}", "A", ["10.244.0.5"]),
        (DB, "A", ["10.244.0.6", "10.244.0.7"]),
        (DB, "AAAA", NO_DATA),
        (f"db-0.{DB}", "A", ["10.244.0.6"]),
        (f"db-2.{DB}", "A", NO_NAME),
        (f"10-244-0-7.{DB}", "A", ["10.244.0.7"]),
        (
            f"_sql._tcp.{DB}",
            "SRV",
            [Srv(50, 5432, f"db-0.{DB}"), Srv(50, 5432, f"10-244-0-7.{DB}")],
        ),
        ("idle.default.svc.cluster.local", "A", NO_NAME),
        ("missing.default.svc.cluster.local", "A", NO_NAME),
        ("web.nowhere.svc.cluster.local", "A", NO_NAME),
        (f"a.b.c.{WEB}", "A", NO_NAME),
        ("out.default.svc.cluster.local", "CNAME", ["www.Example.com"]),
        ("out.default.svc.cluster.local", "SRV", NO_DATA),
        ("alias.default.svc.cluster.local", "A", [WEB, "10.96.0.20"]),
        ("dead.default.svc.cluster.local", "A", NO_NAME),
        ("loop-a.default.svc.cluster.local", "A", NO_DATA),
        ("literal.default.svc.cluster.local", "A", NO_NAME),
        ("10-1-2-3.default.pod.cluster.local", "A", ["10.1.2.3"]),
        ("10-1-2-3.default.pod.cluster.local", "AAAA", NO_DATA),
        ("fd00--5.default.pod.cluster.local", "AAAA", ["fd00::5"]),
        ("10-1-2.default.pod.cluster.local", "A", NO_NAME),
        ("10-1-2-3.nowhere.pod.cluster.local", "A", NO_NAME),
        (DOMAIN, "A", NO_DATA),
        (DOMAIN, "NS", ["ns.dns.cluster.local"]),
        ("svc.cluster.local", "A", NO_DATA),
        ("pod.cluster.local", "A", NO_DATA),
        ("default.svc.cluster.local", "A", NO_DATA),
        ("empty.pod.cluster.local", "A", NO_DATA),
        ("nowhere.svc.cluster.local", "A", NO_NAME),
        ("other.cluster.local", "A", NO_NAME),
        ("ns.dns.cluster.local", "A", ["10.96.0.10"]),
        ("dns-version.cluster.local", "TXT", ["1.1.0"]),
        ("20.0.96.10.in-addr.arpa", "PTR", [WEB]),
        ("6.0.244.10.in-addr.arpa", "PTR", [f"db-0.{DB}"]),
        ("5.0.244.10.in-addr.arpa", "PTR", [f"10-244-0-5.{WEB}"]),
        ("9.0.244.10.in-addr.arpa", "PTR", FORWARD),
        ("10.in-addr.arpa", "PTR", FORWARD),
        ("example.com", "A", FORWARD),
        ("notcluster.local", "A", FORWARD),
    ],
)
def test_answer(name, kind, expected):
    assert ask(name, kind) == expected


def test_an_outside_alias_is_to_be_forwarded():
    reply = ZONE.reply("out.default.svc.cluster.local", "A")

    assert [record.value for record in reply.answer] == ["www.Example.com"]
    assert reply.forward_name == "www.example.com"


def test_srv_brings_the_addresses_of_its_targets():
    reply = ZONE.reply(f"_sql._tcp.{DB}", "SRV")

    assert {(record.name, record.value) for record in reply.additional} == {
        (f"db-0.{DB}", "10.244.0.6"),
        (f"10-244-0-7.{DB}", "10.244.0.7"),
    }


def test_a_removed_service_leaves_nothing():
    zone = sample_zone()
    for key in list(zone._services):
        zone.put_service(key, None, ())

    assert (zone._names, zone._pointers, zone._services) == ({}, {}, {})


names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, st.integers(1, 65535), min_size=1, max_size=12))
def test_every_service_answers_by_name_and_address(services):
    entries = [
        (service(name, port(number, "p"), **cluster_ips(f"10.96.1.{index + 1}")),)
        for index, (name, number) in enumerate(sorted(services.items()))
    ]
    zone = zone_of(*entries)

    for index, (name, number) in enumerate(sorted(services.items())):
        full = f"{name}.default.svc.cluster.local"
        assert ask(full, "A", zone) == [f"10.96.1.{index + 1}"]
        assert ask(f"_p._tcp.{full}", "SRV", zone) == [Srv(100, number, full)]
        assert ask(f"{index + 1}.1.96.10.in-addr.arpa", "PTR", zone) == [full]


@given(st.lists(st.tuples(names, st.sampled_from(["ip", "none", "name", "gone"])), max_size=30))
def test_any_order_of_changes_gives_the_same_zone(changes):
    def entry(name, kind):
        if kind == "ip":
            return service(name, port(80, "http"), **cluster_ips("10.96.0.30"))
        if kind == "none":
            return service(name, port(80, "http"), **cluster_ips("None"))
        return service(name, type="ExternalName", externalName="example.com")

    zone, last = zone_of(), {}
    for name, kind in changes:
        made = None if kind == "gone" else entry(name, kind)
        zone.put_service(f"default/{name}", made, ())
        last[name] = made
    fresh = zone_of(*[(made,) for made in last.values() if made is not None])

    assert zone._names == fresh._names
    assert zone._pointers == fresh._pointers
