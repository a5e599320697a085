"""MurmurHash3 x64 128 of many keys at once, in numpy; mmh3 does one key at a time.

The keys share a prefix and end in texts that lie one behind the other in one buffer. Words of a
text are read from the buffer eight bytes at a time, wherever the text begins, and what does not
belong to it is masked. Keys of one length take the same steps, so they are hashed together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_FIVE = np.uint64(5)
_N1, _N2 = np.uint64(0x52DCE729), np.uint64(0x38495AB5)
_F1, _F2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
# What is computed at a time stays close to the core.
_AT_A_TIME = 1 << 13


def first_words(prefix: bytes, texts: bytes, lengths: NDArray[np.int64]) -> Words:
    """Return the first 64 bits of the hash, seed 0, of `prefix` + text for each text.

    `texts` holds them one behind the other, `lengths`, shape (texts,), says how long they are.
    """
    # Room to read eight bytes that begin before the first text or end behind the last one.
    buffer = np.frombuffer(b"\0" * 16 + texts + b"\0" * 16, np.uint8)
    windows = np.ndarray(
        (len(buffer) - 7,), dtype="<u8", buffer=buffer, strides=(1,)
    )  # the eight bytes from each byte on
    starts = np.cumsum(lengths) - lengths + 16
    hashes = np.empty(len(lengths), np.uint64)
    for first in range(0, len(lengths), _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        of_part, hashes_of_part = lengths[part], hashes[part]
        for length in np.flatnonzero(np.bincount(of_part)).tolist():
            alike = np.flatnonzero(of_part == length)
            if len(alike) == len(of_part):
                hashes[part] = _alike(prefix, windows, starts[part], length)
            else:
                hashes_of_part[alike] = _alike(prefix, windows, starts[part][alike], length)
    return hashes


def _alike(prefix: bytes, windows: Words, starts: NDArray[np.int64], length: int) -> Words:
    """Hash keys whose texts begin at `starts` and are all `length` bytes long."""
    total = len(prefix) + length

    def word(at: int) -> Words | np.uint64:
        """Return the bytes [at, at + 8) of the keys as words, zeros behind the end."""
        constant = np.uint64(int.from_bytes(prefix[at : at + 8], "little"))
        begin, end = max(at, len(prefix)), min(at + 8, total)
        if begin >= end:
            return constant
        mask = ((1 << 8 * (end - at)) - 1) ^ ((1 << 8 * (begin - at)) - 1)
        words: Words = windows[starts + (at - len(prefix))] & np.uint64(mask)
        words |= constant
        return words

    h1: Words | np.uint64 = np.uint64(0)
    h2: Words | np.uint64 = np.uint64(0)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is what is wanted
        whole = total // 16 * 16
        for at in range(0, whole, 16):
            h1 = (_rotated(h1 ^ _k1(word(at)), 27) + h2) * _FIVE + _N1
            h2 = (_rotated(h2 ^ _k2(word(at + 8)), 31) + h1) * _FIVE + _N2
        if total > whole:
            h1 = h1 ^ _k1(word(whole))
        if total > whole + 8:
            h2 = h2 ^ _k2(word(whole + 8))
        h1, h2 = h1 ^ np.uint64(total), h2 ^ np.uint64(total)
        h1 = h1 + h2
        h2 = h2 + h1
        return np.broadcast_to(_mixed(h1) + _mixed(h2), starts.shape)


def _k1(word: Words | np.uint64) -> Words | np.uint64:
    return _rotated(word * _C1, 31) * _C2


def _k2(word: Words | np.uint64) -> Words | np.uint64:
    return _rotated(word * _C2, 33) * _C1


def _rotated(words: Words | np.uint64, bits: int) -> Words | np.uint64:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _mixed(words: Words | np.uint64) -> Words | np.uint64:
    words = (words ^ (words >> np.uint64(33))) * _F1
    words = (words ^ (words >> np.uint64(33))) * _F2
    return words ^ (words >> np.uint64(33))
