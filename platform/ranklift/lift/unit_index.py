"""Consecutive codes for values, so that arrays can be indexed by user, arm or segment value."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]

# Whole numbers from 0 to here are looked up in a table of at most 256 MiB, of which the system
# provides only the parts that are touched. Other numbers, and text, are hashed.
TABLE_LIMIT = 1 << 26
# So many known texts, such as arms, are found sooner by comparing with each than by hashing.
FEW = 8


class Codes:
    """Codes 0, 1, ... for the distinct values of a type; a value keeps the code it once got.

    Values are whole numbers, text, booleans, categoricals or enums, and never null.
    """

    def __init__(self, dtype: pl.DataType) -> None:
        self._dtype = dtype
        self._text = not (dtype.is_integer() or dtype == pl.Boolean)
        self._index: _Table | _HashTable = _HashTable() if self._text else _Table()
        # The key of text is its hash. The texts themselves are kept too, because two may share one:
        # in parts of growing length, so that a new text does not move all known ones.
        self._texts: list[pl.Series] = []
        self._seed = 0

    def __len__(self) -> int:
        return self._index.count

    def of(self, values: pl.Series) -> Ints:
        """Return the code of every value, shape (values,); new values get the next codes."""
        if not len(values):
            return np.zeros(0, np.int64)
        if self._text:
            return self._of_text(values.cast(pl.String))
        if values.dtype == pl.Boolean:
            values = values.cast(pl.UInt8)
        if isinstance(self._index, _Table):
            low, high = values.min(), values.max()
            if int(low) >= 0 and int(high) < TABLE_LIMIT:  # type: ignore[arg-type]
                return self._index.of(values.cast(pl.Int64).to_numpy())
            self._index = _HashTable(self._index.keys().astype(np.uint64))
        if values.dtype != pl.UInt64:
            return self._index.of(values.cast(pl.Int64).to_numpy().view(np.uint64))
        return self._index.of(values.to_numpy())

    def values(self, codes: Ints | None = None) -> pl.Series:
        """Return the values of these codes, or of all."""
        if self._text:
            texts = self._all_texts()
            return (texts if codes is None else texts.gather(codes)).cast(self._dtype)
        keys = self._index.keys() if codes is None else self._index.keys().take(codes)
        signed = keys.dtype == np.uint64 and self._dtype.is_signed_integer()
        return pl.Series(keys.view(np.int64) if signed else keys).cast(self._dtype)

    def order(self) -> Ints:
        """Return the codes in the order of their values."""
        if isinstance(self._index, _Table):
            return self._index.order()
        return self.values().arg_sort().cast(pl.Int64).to_numpy()

    def _of_text(self, values: pl.Series) -> Ints:
        before = self._index.count
        if 0 < before <= FEW:
            found = np.zeros(len(values), np.int8)  # code + 1; 0 where unknown
            for code, text in enumerate(self._all_texts()):
                # Assigning where a mask says so takes five times as long.
                found += (values == text).to_numpy() * np.int8(code + 1)
            if found.all():
                return found.astype(np.int64) - 1
        values = values.rechunk()
        codes = self._index.of(values.hash(self._seed).to_numpy())
        if self._index.count > before:
            self._keep(values.gather(_rows_of(codes, before)))
        if self._stand_for(codes, values):
            return codes
        # Two texts share a hash: start again without those of this batch, and with another seed.
        self._texts = [self._all_texts().head(before)] if before else []
        while True:
            self._seed += 1
            keys = self._all_texts().hash(self._seed)
            if keys.n_unique() == before:
                self._index = _HashTable(keys.to_numpy())
                return self._of_text(values)

    def _keep(self, new: pl.Series) -> None:
        self._texts.append(new.alias(""))
        while len(self._texts) > 1 and 2 * len(self._texts[-1]) > len(self._texts[-2]):
            self._texts[-2:] = [pl.concat(self._texts[-2:], rechunk=True)]

    def _stand_for(self, codes: Ints, values: pl.Series) -> bool:
        """Return whether every code is that of its very text."""
        if len(self._texts) == 1:
            return bool((self._texts[0].gather(codes) == values).all())
        start = 0
        for texts in self._texts:
            rows = np.flatnonzero((codes >= start) & (codes < start + len(texts)))
            if len(rows) and not (texts.gather(codes[rows] - start) == values.gather(rows)).all():
                return False
            start += len(texts)
        return True

    def _all_texts(self) -> pl.Series:
        if len(self._texts) != 1:
            self._texts = [pl.concat([pl.Series(dtype=pl.String), *self._texts], rechunk=True)]
        return self._texts[0]


def _rows_of(codes: Ints, first: int) -> Ints:
    """Return a row of each code from `first` on, in the order of the codes."""
    rows = np.flatnonzero(codes >= first)
    found = np.empty(int(codes.max()) + 1 - first, np.int64)
    found[codes[rows] - first] = rows
    return found


class _Table:
    """Codes of whole numbers below `TABLE_LIMIT`, looked up by number."""

    def __init__(self) -> None:
        self.count = 0
        self._codes = np.zeros(0, np.int32)  # code + 1; 0 where unknown
        self._keys = np.empty(0, np.int32)

    def of(self, numbers: Ints) -> Ints:
        self._reach(int(numbers.max()))
        codes = self._codes.take(numbers)
        unknown = np.flatnonzero(codes == 0)
        if len(unknown):
            new = numbers[unknown]
            # A number that comes twice keeps its last turn, and is counted there.
            turns = np.arange(1, len(new) + 1, dtype=np.int32)
            self._codes[new] = turns
            new = new[self._codes.take(new) == turns]
            self._codes[new] = np.arange(1, len(new) + 1, dtype=np.int32) + self.count
            if self.count + len(new) > len(self._keys):
                spare = np.empty(max(len(new), self.count // 2), np.int32)
                self._keys = np.concatenate([self.keys(), spare])
            self._keys[self.count : self.count + len(new)] = new
            self.count += len(new)
            codes[unknown] = self._codes.take(numbers[unknown])
        return codes.astype(np.int64) - 1

    def keys(self) -> NDArray[np.int32]:
        return self._keys[: self.count]

    def order(self) -> Ints:
        return self._codes[np.flatnonzero(self._codes)].astype(np.int64) - 1

    def _reach(self, number: int) -> None:
        if number >= len(self._codes):
            grown = np.zeros(1 << number.bit_length(), np.int32)
            grown[: len(self._codes)] = self._codes
            self._codes = grown


class _HashTable:
    """Codes of 64-bit keys: open addressing, linear probing, all keys of a batch at once."""

    def __init__(self, keys: Keys | None = None) -> None:
        """Give the codes 0, 1, ... to distinct `keys`, in their order."""
        self._keys = np.empty(0, np.uint64) if keys is None else keys
        self.count = len(self._keys)
        self._slots = np.zeros(0, np.int32)  # code + 1; 0 where free

    def of(self, keys: Keys) -> Ints:
        self._reserve(len(keys))
        codes = np.empty(len(keys), np.int64)
        rows, slots = np.arange(len(keys)), self._home(keys)
        while len(rows):
            found = self._slots.take(slots)
            free = np.flatnonzero(found == 0)
            if len(free):
                self._claim(slots[free], keys[free])
                found[free] = self._slots.take(slots[free])
            found -= 1
            hit = self._keys.take(found) == keys
            if hit.all() and len(rows) == len(codes):
                return found.astype(np.int64)
            codes[rows[hit]] = found[hit]
            miss = ~hit
            rows, keys = rows[miss], keys[miss]
            slots = (slots[miss] + 1) & (len(self._slots) - 1)
        return codes

    def keys(self) -> Keys:
        return self._keys[: self.count]

    def _claim(self, slots: Ints, keys: Keys) -> None:
        """Give each free slot to one of the keys that ask for it, and that key the next code."""
        turns = np.arange(1, len(slots) + 1, dtype=np.int32)
        self._slots[slots] = turns
        won = self._slots.take(slots) == turns
        codes = np.arange(self.count, self.count + int(won.sum()))
        self._slots[slots[won]] = codes + 1
        self._keys[codes] = keys[won]
        self.count += len(codes)

    def _home(self, keys: Keys) -> Ints:
        # Knuth, The Art of Computer Programming, volume 3, section 6.4: multiplying by 2^64 / the
        # golden ratio spreads keys over the high bits.
        shift = np.uint64(65 - len(self._slots).bit_length())
        return ((keys * np.uint64(0x9E3779B97F4A7C15)) >> shift).view(np.int64)

    def _reserve(self, more: int) -> None:
        """Keep the table at most half full after `more` keys, so that probing stays short."""
        most = self.count + more
        if most > len(self._keys):
            spare = np.empty(max(most, 3 * self.count // 2) - self.count, np.uint64)
            self._keys = np.concatenate([self.keys(), spare])
        if 2 * most > len(self._slots):
            self._slots = np.zeros(1 << (2 * most).bit_length(), np.int32)
            self._place(np.arange(self.count))

    def _place(self, codes: Ints) -> None:
        """Put these codes into slots of an empty table."""
        slots = self._home(self._keys[codes])
        while len(codes):
            free = self._slots.take(slots) == 0
            self._slots[slots[free]] = codes[free] + 1
            lost = self._slots.take(slots) != codes + 1
            codes, slots = codes[lost], (slots[lost] + 1) & (len(self._slots) - 1)
