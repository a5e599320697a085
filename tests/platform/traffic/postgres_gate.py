"""A way to PostgreSQL that can be shut or stopped, while the server serves the other tests."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path


class Gate:
    """A socket in `folder` that leads to the one in `behind`.

    While `shut`, connections are refused; while not `passing`, what is sent does not arrive.
    """

    def __init__(self, folder: Path, behind: Path) -> None:
        self.folder = folder
        self._behind = str(behind / ".s.PGSQL.5432")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        self._open: list[socket.socket] = []
        self.shut = False
        self.passing = threading.Event()
        self.passing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def shut_down(self) -> None:
        """Cut every connection, and refuse new ones."""
        self.shut = True
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut_down()
        self.passing.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.shut:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._behind)
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.passing.wait()
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
