"""Messages between the caller and its fork server: a length, a JSON object, and open descriptors beside it.

In and out: dictionaries. Neighbours: `client` and `server`, the two ends of one socket pair that untrusted code never
holds. Standard library only, because the server runs without the project's packages.
"""

import json
import socket
import struct
from typing import Any, Final

STARTED: Final = b"+"
"""On a call's own socket: the child exists. A JSON status follows once it is dead."""
SET_UP_FAILED: Final = 125
"""Exit status of a child that could not be locked down; the reason stands in its output."""

_LENGTH: Final = struct.Struct("!I")
_MAX_BYTES: Final = 1 << 20
_MAX_DESCRIPTORS: Final = 8


class Closed(ConnectionError):
    """The other end is gone."""


def send(channel: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    """Send one message; the descriptors travel with its first byte."""
    body = json.dumps(message).encode()
    data = _LENGTH.pack(len(body)) + body
    sent = socket.send_fds(channel, [data], descriptors) if descriptors else channel.send(data)
    channel.sendall(data[sent:])


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for one message; raises Closed at the end."""
    head, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, _MAX_DESCRIPTORS)
    while head and len(head) < _LENGTH.size:
        head += _some(channel, _LENGTH.size - len(head))
    if not head:
        raise Closed("The other end of the channel is closed.")
    (length,) = _LENGTH.unpack(head)
    assert length <= _MAX_BYTES
    body = b""
    while len(body) < length:
        body += _some(channel, length - len(body))
    message: dict[str, Any] = json.loads(body)
    return message, descriptors


def _some(channel: socket.socket, length: int) -> bytes:
    data = channel.recv(length)
    if not data:
        raise Closed("The other end of the channel is closed.")
    return data
