"""A Postgres that refuses every login in the way that a test names."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


@contextmanager
def refusing_server(state: str, message: str, severity: str = "FATAL") -> Iterator[str]:
    """Serve on this machine; refuse each login with this SQLSTATE and message. Yields the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, state, message, severity), daemon=True).start()
        yield f"postgresql://sam:hidden@127.0.0.1:{listener.getsockname()[1]}/warehouse"
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, state: str, message: str, severity: str) -> None:
    fields = (("S", severity), ("V", "FATAL"), ("C", state), ("M", message))
    body = b"".join(f"{kind}{text}\0".encode() for kind, text in fields) + b"\0"
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as stream:
            while head := stream.read(8):
                length, code = struct.unpack("!II", head)
                stream.read(length - 8)
                if code in (SSL_REQUEST, GSS_REQUEST):
                    connection.sendall(b"N")
                    continue
                connection.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)
                break
