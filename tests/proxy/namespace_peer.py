"""Servers and clients for the namespaces of test_proxy_e2e.py; standard library only.

serve NAME PORT:               answer TCP and UDP with `NAME CLIENT-ADDRESS`
tcp|udp ADDRESS PORT [COUNT]:  print one answer, or the name of the error, per line
udp-keep ADDRESS PORT SOURCE:  one UDP question from a fixed source port
"""

import socket
import sys
import threading

_TIMEOUT = 1.5


def serve(name, port):
    tcp = socket.create_server(("0.0.0.0", port))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", port))

    def answer_udp():
        while True:
            _, peer = udp.recvfrom(2048)
            udp.sendto(f"{name} {peer[0]}".encode(), peer)

    threading.Thread(target=answer_udp, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, peer = tcp.accept()
        with connection:
            connection.sendall(f"{name} {peer[0]}".encode())


def ask_tcp(address, port):
    with socket.create_connection((address, port), timeout=_TIMEOUT) as connection:
        return connection.recv(200).decode()


def ask_udp(address, port, source=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as question:
        question.settimeout(_TIMEOUT)
        if source:
            question.bind(("0.0.0.0", source))
        question.connect((address, port))
        question.send(b"?")
        return question.recv(200).decode()


def main():
    mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if mode == "serve":
        serve(address, port)
    if mode == "udp-keep":
        print(ask_udp(address, port, int(sys.argv[4])))
        return
    for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 1):
        try:
            print((ask_tcp if mode == "tcp" else ask_udp)(address, port))
        except OSError as error:
            print(type(error).__name__)


main()
