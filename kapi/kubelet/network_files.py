"""Hostname, /etc/hosts and resolver settings of a pod. Pure.

Upstream: pkg/kubelet/kubelet_pods.go, pkg/kubelet/network/dns/dns.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kapi.api.object import Object, name_of, namespace_of

_HOSTNAME_MAX = 63
_FQDN_MAX = 64
_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32
_SEARCH_CHARS_MAX = 2048
_HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
_HOSTS_HEADER_HOST = "# Kubernetes-managed hosts file (host network).\n"
_HOSTS_FIXED = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


class HostnameTooLong(ValueError):
    """The sandbox cannot be made; the text goes into the event."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The parts of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hostname_and_domain(pod: Object, cluster_domain: str) -> tuple[str, str]:
    """(short hostname, domain or empty)."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return spec["hostnameOverride"], ""
    hostname = str(spec.get("hostname") or name_of(pod))[:_HOSTNAME_MAX].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{namespace_of(pod)}.svc.{cluster_domain}"
    return hostname, domain


def kernel_hostname(pod: Object, cluster_domain: str) -> str:
    """What `hostname` prints. Raises HostnameTooLong."""
    hostname, domain = hostname_and_domain(pod, cluster_domain)
    if not (pod["spec"].get("setHostnameAsFQDN") and domain):
        return hostname
    full = f"{hostname}.{domain}"
    if len(full) > _FQDN_MAX:
        raise HostnameTooLong(
            "failed to construct FQDN from pod hostname and cluster domain, "
            f"FQDN {full} is too long ({_FQDN_MAX} characters is the max, "
            f"{len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Object, ips: Sequence[str], cluster_domain: str, host_file: str) -> str:
    """The content of /etc/hosts; `host_file` is the node's own, for hostNetwork pods."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = _HOSTS_HEADER_HOST + host_file
    else:
        hostname, domain = hostname_and_domain(pod, cluster_domain)
        names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        text = _HOSTS_HEADER + _HOSTS_FIXED + "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = spec.get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
    for alias in aliases:
        text += "\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n"
    return text


def parse_resolv_conf(text: str) -> Resolver:
    """The last search line counts; a lone dot is dropped, as upstream."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        fields = line.split()
        if not fields or fields[0].startswith(("#", ";")):
            continue
        if fields[0] == "nameserver" and len(fields) > 1:
            servers.append(fields[1])
        elif fields[0] == "search":
            searches = tuple(name.rstrip(".") for name in fields[1:] if name != ".")
        elif fields[0] == "options":
            options = tuple(fields[1:])
    return Resolver(tuple(servers), searches, options)


@dataclass(frozen=True, slots=True)
class ClusterDns:
    """The kubelet's own settings."""

    servers: tuple[str, ...]
    domain: str
    host: Resolver


def resolver_of(pod: Object, dns: ClusterDns) -> tuple[Resolver, list[str]]:
    """The pod's resolver and the texts of DNSConfigForming warnings."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod["spec"].get("hostNetwork")
    )
    if policy == "None":
        base = Resolver()
    elif cluster and dns.servers:
        domain = dns.domain
        own = (f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolver(dns.servers, _unique(own + dns.host.searches), ("ndots:5",))
    else:
        base = dns.host
    return _limited(_with_dns_config(base, pod["spec"].get("dnsConfig") or {}))


def lacks_cluster_dns(pod: Object, dns: ClusterDns) -> bool:
    """The pod wants cluster DNS and there is none: MissingClusterDNS."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    wants = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod["spec"].get("hostNetwork")
    )
    return wants and not dns.servers


def _with_dns_config(base: Resolver, config: Object) -> Resolver:
    options: dict[str, str] = {}
    for text in base.options:
        options[text.partition(":")[0]] = text
    for option in config.get("options") or ():
        name, value = option.get("name", ""), option.get("value")
        options[name] = f"{name}:{value}" if value is not None else name
    return Resolver(
        _unique(base.servers + tuple(config.get("nameservers") or ())),
        _unique(base.searches + tuple(config.get("searches") or ())),
        tuple(options.values()),
    )


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _limited(found: Resolver) -> tuple[Resolver, list[str]]:
    warnings = []
    servers, searches = found.servers, found.searches[:_SEARCHES_MAX]
    while len(" ".join(searches)) > _SEARCH_CHARS_MAX:
        searches = searches[:-1]
    if searches != found.searches:
        warnings.append(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(searches)}"
        )
    if len(servers) > _NAMESERVERS_MAX:
        servers = servers[:_NAMESERVERS_MAX]
        warnings.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(servers)}"
        )
    return Resolver(servers, searches, found.options), warnings
