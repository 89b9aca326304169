"""An HTTPS server for the ResponseURL of a request. It keeps the responses that arrive."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme


class ResponseServer:
    """The responses that arrived, oldest first. `statuses` are the HTTP statuses of the next requests, then 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.content_types: list[str | None] = []
        self.paths: list[str] = []
        """Including the query."""
        self.statuses: list[int] = []

    def clear(self) -> None:
        """Forget the responses that arrived."""
        self.received.clear()
        self.sizes.clear()
        self.content_types.clear()
        self.paths.clear()
        self.statuses.clear()


@contextmanager
def serve(folder: Path) -> Iterator[tuple[ResponseServer, Path]]:
    """Yield the server, and the file of the certificate authority that its clients must trust."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(tls)

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = responses.statuses.pop(0) if responses.statuses else 200
            if status == 200:
                responses.received.append(json.loads(body))
                responses.sizes.append(len(body))
                responses.content_types.append(self.headers["Content-Type"])
                responses.paths.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    responses = ResponseServer(f"https://localhost:{server.server_port}/answer?signature=sentinel-signature")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield responses, bundle
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
