"""A server's certificate: read and checked before anybody connects."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from ranklift.v1.errors import InvalidRequest

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# UTCTime or GeneralizedTime, twice.
_TIMES = re.compile(rb"(?:\x17\x0d|\x18\x0f)(\d{12,14})Z(?:\x17\x0d|\x18\x0f)(\d{12,14})Z")


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """PEM files of a server: its certificate chain, its key, and, for mTLS, who signs clients.

    With `client_ca` a client without a certificate of that authority is not
    let in at all.
    """

    certificate: str
    key: str
    client_ca: str = ""

    def credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC listens with.

        gRPC itself would listen with files that do not fit and refuse every
        client, with nothing but a line in its own log.

        Raises:
            InvalidRequest: a file is missing or no PEM, the key belongs to another
                certificate, or the certificate is not valid now.
        """
        certificate, key = _read("certificate", self.certificate), _read("key", self.key)
        client_ca = _read("client_ca", self.client_ca) if self.client_ca else None
        self._check()
        return grpc.ssl_server_credentials(
            [(key, certificate)],
            root_certificates=client_ca,
            require_client_auth=client_ca is not None,
        )

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # The password: without one, an encrypted key would ask the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise InvalidRequest.of(
                    "tls.key", f"{self.key} is not the key of {self.certificate}"
                ) from error
            raise InvalidRequest.of(
                "tls.certificate",
                f"{self.certificate} and {self.key} are not a PEM certificate and its "
                f"unencrypted key: {error.reason or error}",
            ) from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise InvalidRequest.of(
                    "tls.client_ca", f"{self.client_ca} holds no PEM certificate"
                ) from error
        starts, ends = _validity(Path(self.certificate).read_text("ascii", errors="replace"))
        if datetime.now(UTC) > ends:
            raise InvalidRequest.of("tls.certificate", f"{self.certificate} has expired; renew it")
        if datetime.now(UTC) < starts:
            raise InvalidRequest.of(
                "tls.certificate", f"{self.certificate} is not valid yet; is the clock right?"
            )


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest.of(f"tls.{name}", f"cannot read {path}: {error.strerror}") from error


def _validity(chain: str) -> tuple[datetime, datetime]:
    """Return from when until when the first certificate of a PEM chain is valid.

    The standard library tells them of authorities only. In DER they are two times one after the
    other (RFC 5280, 4.1.2.5), and nothing before them looks like that.
    """
    ends = chain.index(_END) + len(_END)
    der = ssl.PEM_cert_to_DER_cert(chain[chain.index(_BEGIN) : ends] + "\n")
    found = _TIMES.search(der)
    if found is None:
        raise InvalidRequest.of("tls.certificate", "has no times of validity; make a new one")
    return _time(found[1]), _time(found[2])


def _time(text: bytes) -> datetime:
    digits = text.decode("ascii")
    if len(digits) == len("yymmddhhmmss"):  # years before 2050 have two digits
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
