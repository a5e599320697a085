"""Certificates of an authority that lives as long as a test."""

from __future__ import annotations

from pathlib import Path

import trustme


class Files:
    """An authority, a server's certificate and a client's, in PEM files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = trustme.CA()
        server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("client")
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.certificate, self.key = self._write(server, "server")
        self.client, self.client_key = self._write(client, "client")

    def _write(self, leaf: trustme.LeafCert, name: str) -> tuple[str, str]:
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
        return str(certificate), str(key)
