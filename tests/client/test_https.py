"""The HTTPS transport against a real TLS server on loopback, and the kubeconfig reader."""

import asyncio
import base64
import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kapi.client.https import HttpsTransport, Kubeconfig, load_kubeconfig
from kapi.client.kubeconfig import KubeconfigError


def make_certificate(name, issuer=None, issuer_key=None):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    certificate = builder.sign(issuer_key or key, hashes.SHA256())
    return certificate, key


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


class Server:
    """A hand-written HTTP/1.1 server: counts connections, answers by path."""

    def __init__(self):
        self.connections = 0
        self.requests = []
        self.tasks = set()
        self.closed_by_client = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                length = 0
                for text in head.split(b"\r\n"):
                    if text.lower().startswith(b"content-length:"):
                        length = int(text.split(b":")[1])
                body = await reader.readexactly(length)
                await self.answer(head, body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed_by_client.set()
        finally:
            writer.close()

    async def answer(self, head, body, reader, writer):
        if b"/stream" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"3\r\ntwo\r\n")
        elif b"/hangup" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            writer.close()
        elif b"/bye" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        else:
            certificate = writer.get_extra_info("peercert") or {}
            names = [v for rdn in certificate.get("subject", ()) for _, v in rdn]
            answer = body + b"|" + ",".join(names).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()


@pytest.fixture(scope="module")
def authority():
    return make_certificate("ca")


@pytest.fixture
async def tls(authority, tmp_path):
    ca, ca_key = authority
    certificate, key = make_certificate("localhost", ca, ca_key)
    pair = tmp_path / "server.pem"
    pair.write_text(pem(certificate) + key_pem(key))
    (tmp_path / "ca.pem").write_text(pem(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.url = f"https://localhost:{listener.sockets[0].getsockname()[1]}"
    yield server
    listener.close()
    await listener.wait_closed()
    await asyncio.sleep(0.01)


async def test_connections_are_kept_and_bodies_and_tokens_sent(tls, authority):
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(authority[0]), token="secret-token"))
    for _ in range(3):
        answer = await transport.request("POST", "/api", params={"a": "b c"}, body=b"x" * 100_000)
        assert answer.body == b"x" * 100_000 + b"|"
    assert tls.connections == 1
    assert tls.requests[0].startswith(b"POST /api?a=b+c HTTP/1.1\r\n")
    assert b"authorization: Bearer secret-token" in tls.requests[0].replace(
        b"Authorization", b"authorization"
    )
    await transport.close()


async def test_a_client_certificate_is_presented(tls, authority):
    ca, ca_key = authority
    certificate, key = make_certificate("kubelet", ca, ca_key)
    transport = HttpsTransport(
        Kubeconfig(
            tls.url,
            ca_pem=pem(ca),
            client_cert_pem=pem(certificate),
            client_key_pem=key_pem(key),
        )
    )
    assert (await transport.request("GET", "/")).body == b"|kubelet"
    await transport.close()


async def test_an_unknown_ca_is_refused(tls):
    other, _ = make_certificate("other")
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(other)))
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await transport.request("GET", "/")
    await transport.close()


async def test_a_stream_comes_in_pieces_and_closes_when_left(tls, authority):
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(authority[0])))
    async with transport.stream("GET", "/stream") as (status, chunks):
        assert status == 200
        assert await anext(chunks) == b"one"
        assert await anext(chunks) == b"two"
    async with asyncio.timeout(2):
        await tls.closed_by_client.wait()
    await transport.close()


async def test_a_cut_answer_is_a_connection_error(tls, authority):
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(authority[0])))
    with pytest.raises(ConnectionError):
        await transport.request("GET", "/hangup")
    await transport.close()


async def test_a_connection_the_server_ends_is_not_used_again(tls, authority):
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(authority[0])))
    await transport.request("GET", "/bye")
    await transport.request("GET", "/")
    assert tls.connections == 2
    await transport.close()


async def test_nobody_listening_is_a_connection_error():
    transport = HttpsTransport(Kubeconfig("http://127.0.0.1:1"))
    with pytest.raises(ConnectionError):
        await transport.request("GET", "/")


async def test_a_token_file_is_read(tls, authority, tmp_path):
    token = tmp_path / "token"
    token.write_text("from-file\n")
    config = Kubeconfig(tls.url, ca_pem=pem(authority[0]), token_file=str(token))
    transport = HttpsTransport(config)
    await transport.request("GET", "/")
    assert b"Bearer from-file" in tls.requests[0]
    await transport.close()


async def test_a_token_file_that_goes_away_leaves_the_last_token_in_use(
    tls, authority, tmp_path, monkeypatch
):
    monkeypatch.setattr("kapi.client.https._TOKEN_SECONDS", 0.0)
    token = tmp_path / "token"
    transport = HttpsTransport(Kubeconfig(tls.url, ca_pem=pem(authority[0]), token_file=str(token)))
    with pytest.raises(ConnectionError, match="token file"):
        await transport.request("GET", "/")
    token.write_text("from-file\n")
    await transport.request("GET", "/")
    token.unlink()
    await transport.request("GET", "/")
    assert [b"Bearer from-file" in request for request in tls.requests] == [True, True]
    await transport.close()


def test_secrets_are_not_in_the_repr():
    assert "hunter2" not in repr(Kubeconfig("https://x", token="hunter2"))


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- name: one
  context: {{cluster: c, user: u, namespace: team}}
- name: two
  context: {{cluster: c, user: plugin}}
clusters:
- name: c
  cluster: {{server: "https://127.0.0.1:6443/", certificate-authority-data: {ca}}}
users:
- name: u
  user: {{client-certificate: cert.pem, client-key: key.pem, tokenFile: token}}
- name: plugin
  user: {{exec: {{command: aws}}}}
"""


def test_a_kubeconfig_is_resolved(tmp_path):
    (tmp_path / "config").write_text(KUBECONFIG.format(ca=base64.b64encode(b"CA").decode()))
    (tmp_path / "cert.pem").write_text("CERT")
    (tmp_path / "key.pem").write_text("KEY")
    config = load_kubeconfig(tmp_path / "config")
    assert config.server == "https://127.0.0.1:6443"
    assert (config.ca_pem, config.client_cert_pem, config.client_key_pem) == ("CA", "CERT", "KEY")
    assert config.token_file == str(tmp_path / "token")
    assert config.namespace == "team"


def test_what_a_kubeconfig_cannot_do_is_said(tmp_path):
    path = tmp_path / "config"
    path.write_text(KUBECONFIG.format(ca=base64.b64encode(b"CA").decode()))
    with pytest.raises(KubeconfigError, match="exec is not supported"):
        load_kubeconfig(path, "two")
    with pytest.raises(KubeconfigError, match="context 'three' does not exist"):
        load_kubeconfig(path, "three")
    path.write_text("[1, 2]")
    with pytest.raises(KubeconfigError, match="not a kubeconfig"):
        load_kubeconfig(path)
