"""A real HTTP server for webhooks, and a real command: both keep the alerts that they are told."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hook:
    """Listens on loopback in a thread of its own; ``status`` is what it answers."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.status = 204
        self.location: str | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                if hook.location is not None:
                    self.send_header("Location", hook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                hook.requests.append((self.path, {}))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/secret-token?key=secret-key"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [alert for _, alert in self.requests]

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """What was told: (event, cause, object)."""
        return [(each["event"], each["cause"], each["object"]) for each in self.alerts]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Script:
    """A command that adds what it is told to a file, and its environment to another."""

    def __init__(self, folder: Path, ending: str = "exit 0") -> None:
        self.path = folder / "tell"
        self.file = folder / "told"
        self.environment = folder / "environment"
        self.path.write_text(f"#!/bin/sh\ncat >> {self.file}\nenv > {self.environment}\n{ending}\n")
        self.path.chmod(0o755)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]
