"""Lines of text files that may be compressed and may be wrong."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ranklift.v1.errors import MAX_VIOLATIONS, InvalidRequest, NotFound, Violation, refuse_if_any

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_GRADE = 10**9  # from there on it is an id in the wrong column
GRADE = re.compile(r"[0-9]{1,9}")


class Lines:
    """The lines of one file that are not blank, with their numbers from 1, and what is wrong.

    A line ends at a line feed and nowhere else: texts hold form feeds, lone carriage returns and
    Unicode's line separators.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._violations: list[Violation] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        empty = True
        try:
            for number, raw in enumerate(self._file, start=1):
                text = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                if not text.strip():
                    continue
                empty = False
                try:
                    line = text.decode()
                except UnicodeDecodeError as error:
                    self.wrong(number, f"is not UTF-8 ({error.reason}); convert the file")
                    continue
                yield number, line.rstrip("\r\n")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidRequest.of(
                str(self._path), f"is broken as a gzip file ({error}); copy it again"
            ) from error
        if empty:
            raise InvalidRequest.of(str(self._path), "holds nothing; give a file with lines")

    def wrong(self, number: int, description: str) -> None:
        """Note what is wrong with a line, and go on; raised when the file is left.

        Raises:
            InvalidRequest: it is one too many.
        """
        self._violations.append(Violation(f"{self._path}:{number}", description))
        if len(self._violations) > MAX_VIOLATIONS:
            self.refuse()

    def refuse(self) -> None:
        """Raise what was found wrong so far, if anything was."""
        refuse_if_any(self._violations)


@contextmanager
def checked(path: Path) -> Iterator[Lines]:
    """Open a file of lines, gzip or not; on leaving, everything noted as wrong is raised at once.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: lines were found wrong; each field is "file:line".
    """
    if not path.is_file():
        raise NotFound.of(str(path), "does not exist; check the path")
    with path.open("rb") as file:
        compressed = file.peek(2)[:2] == GZIP
        lines = Lines(path, cast("BinaryIO", gzip.open(file)) if compressed else file)  # noqa: SIM115
        yield lines
        lines.refuse()


def whole(text: str) -> int | None:
    """Return a grade as a number, None when it is not a whole number of at least 0."""
    return int(text) if GRADE.fullmatch(text) else None


def unknown(kind: str, identity: str, known: Container[str] | None) -> str | None:
    """Return what is wrong with an id that must be known, None when nothing is."""
    if known is None or identity in known:
        return None
    return f'{kind} "{identity}" is not in the collection; add it, or drop the line'
