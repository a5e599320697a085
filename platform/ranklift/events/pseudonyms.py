"""Unit ids under a key: the log can be analysed, and names nobody."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from ranklift.events.values import Page, PageAssignment
from ranklift.v1.errors import InvalidRequest

KEY_FILE = "unit-ids.key"
KEY_BYTES = 32
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """What ids become: keyed BLAKE2b (RFC 7693) of 128 bits, in hexadecimal.

    The same id gives the same pseudonym as long as the key is the same. With
    another key every unit is a new one, and no old one is found again.
    """

    key: bytes = field(repr=False)

    def of(self, unit_id: str) -> str:
        """Return the pseudonym of an id; none is none."""
        if not unit_id:
            return ""
        text = unit_id.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self.key, digest_size=DIGEST_BYTES).hexdigest()

    def page(self, page: Page) -> Page:
        """Return the page with pseudonyms for every id of a user, a session or a unit.

        Buckets stay those of the ids themselves.
        """
        return replace(
            page,
            user_id=self.of(page.user_id),
            session_id=self.of(page.session_id),
            assignments=tuple(map(self._assignment, page.assignments)),
            forced=tuple(map(self._assignment, page.forced)),
        )

    def _assignment(self, assignment: PageAssignment) -> PageAssignment:
        return replace(assignment, unit_id=self.of(assignment.unit_id))


def read_key(file: Path) -> Pseudonyms:
    """Return the pseudonyms under the key in `file`, which is made with a random one if missing.

    Only its owner can read it. Of several processes that make it, one does.

    Raises:
        InvalidRequest: it cannot be read or made, or holds fewer than 32 bytes.
    """
    try:
        if not file.exists():
            _make(file)
        key = file.read_bytes()
    except OSError as error:
        raise InvalidRequest.of(
            "events.hash_key_file", f"cannot use {file}: {error.strerror}"
        ) from error
    if len(key) < KEY_BYTES:
        raise InvalidRequest.of(
            "events.hash_key_file", f"{file} holds {len(key)} bytes, must be at least {KEY_BYTES}"
        )
    # BLAKE2b takes keys of up to 64 bytes.
    return Pseudonyms(hashlib.blake2b(key).digest())


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Whole under another name first: nobody reads half a key, and a link never replaces a file.
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
        made.write(secrets.token_bytes(KEY_BYTES))
        made.flush()
        os.fsync(made.fileno())
    try:
        os.link(temporary, file)
    except FileExistsError:
        pass  # another process was faster
    finally:
        temporary.unlink()
