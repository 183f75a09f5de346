"""Attempts to reach the network. Each returns what begins with OUT if it believes to have got out."""

import asyncio
import ctypes
import os
import socket
import urllib.request

OUT = "OUT"


def tcp_connection(target):
    with socket.create_connection(("127.0.0.1", target["tcp"]), 1) as channel:
        channel.sendall(b"out")
    return OUT


def tcp_by_plain_system_calls(target):
    c = ctypes.CDLL(None)
    channel = c.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = ctypes.create_string_buffer(
        socket.AF_INET.to_bytes(2, "little") + target["tcp"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    )
    return OUT if channel >= 0 and c.connect(channel, address, 16) == 0 else "refused"


def tcp_server(target):
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"{OUT}: {server.getsockname()}"


def tcp_through_asyncio(target):
    async def connect():
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", target["tcp"]), 1)

    asyncio.run(connect())
    return OUT


def http_request(target):
    return OUT + urllib.request.urlopen(f"http://127.0.0.1:{target['tcp']}/", timeout=0.2).read().decode()


def udp_datagram(target):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", target["udp"]))
    return OUT


def udp_version_6(target):
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"out", ("::1", target["udp"]))
    return OUT


def name_lookup(target):
    return f"{OUT}: {socket.getaddrinfo('example.org', 80)}"


def unix_stream(target):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(target["unix"])
    return OUT


def unix_datagram(target):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"out", target["unix_datagram"])
    return OUT


def unix_abstract(target):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect("\0" + target["marker"])
    return OUT


def unix_datagram_from_a_pair(target):
    """A pair is allowed for asyncio's sake; a datagram pair could still send to a path."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"out", target["unix_datagram"])
    return OUT


def unix_stream_pair_to_a_path(target):
    one, _ = socket.socketpair()
    one.sendmsg([b"out"], [], 0, target["unix_datagram"])
    return OUT


def raw_socket(target):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    return OUT


def packet_socket(target):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return OUT


def netlink(target):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))
    return OUT


def virtual_machine_socket(target):
    socket.socket(getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM)
    return OUT


def socket_among_inherited_descriptors(target):
    found = []
    for descriptor in range(3, 1024):
        try:
            channel = socket.socket(fileno=os.dup(descriptor))
            found.append((descriptor, channel.family, channel.getpeername()))
        except OSError:
            continue
    return f"{OUT}: {found}" if found else "none"
