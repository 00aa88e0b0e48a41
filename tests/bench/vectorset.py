"""vectorset.py - the rows and queries of the proof of the vector search: real text vectors, widened by mixing, and their exact answers.

Real vectors and mixes (normalised weighted sums of two real ones, drawn at random) are shuffled, so each part of the set is like the
whole. Mixing keeps what makes real vectors hard; the benchmark checks that it did. The
queries are real vectors of texts that are not in the set. The same sizes give the same set.

Tenants: namespace and user_id are drawn from 10,000 tenants each, whose sizes follow Zipf's law with exponent 1, so that the first has
10% of the rows, the tenth 1%, the hundredth 0.1%; they say nothing about the vector.
"""

import os
import struct

import numpy as np

DIMENSIONS = 384
TENANTS = 10000
COLUMNS = ("namespace", "key", "event_time", "value", "embedding", "metadata", "user_id", "agent_id")
CHUNK = 50000
EPOCH = 820454400 * 1000000  # 2026-01-01 in microseconds since 2000


def mixes(real, count, chance):
    """Normalised weighted sums of two real vectors, never of one with itself: that would be the same row again."""
    out = np.empty((count, DIMENSIONS), np.float32)
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        weight = chance.uniform(0.3, 0.7, (n, 1)).astype(np.float32)
        one = chance.integers(len(real), size=n)
        other = (one + chance.integers(1, len(real), size=n)) % len(real)
        some = weight * real[one] + (1 - weight) * real[other]
        out[start:start + n] = some / np.linalg.norm(some, axis=1, keepdims=True)
    return out


def zipf_tenants(count, chance):
    """A tenant for each row, from 0, the biggest, on; sizes are exact but for rounding."""
    share = 1 / np.arange(1, TENANTS + 1)
    bounds = np.floor(np.cumsum(share) / share.sum() * count + 0.5).astype(int)
    return chance.permutation(np.searchsorted(bounds, np.arange(count), side="right").astype(np.int32))


class Vectors:
    """rows of the set, and `extra` more for what is inserted live, in one array."""

    def __init__(self, folder, real, queries, rows, extra):
        chance = np.random.default_rng(1)
        stored = np.fromfile(os.path.join(folder, "vectors.f32"), "<f4").reshape(-1, DIMENSIONS)
        self.queries = np.ascontiguousarray(stored[:queries])
        self.real = np.ascontiguousarray(stored[queries:queries + real])
        with open(os.path.join(folder, "texts.txt"), encoding="utf-8") as f:
            self.texts = f.read().splitlines()[queries:queries + len(self.real)]
        own = self.real[:rows]
        data = np.concatenate([own, mixes(self.real, rows - len(own), chance)])
        self.data = np.concatenate([data[chance.permutation(rows)], mixes(self.real, extra, chance)])
        self.rows = rows
        self.namespace = np.concatenate([zipf_tenants(rows, chance), chance.integers(TENANTS, size=extra, dtype=np.int32)])
        self.user = np.concatenate([zipf_tenants(rows, chance), chance.integers(TENANTS, size=extra, dtype=np.int32)])

    def key(self, row):
        return f"row/{row:08d}"

    def sample(self, count):
        """Every so-manieth row of the set."""
        return self.data[np.arange(count) * self.rows // count]

    def tenants_of(self, column, share):
        """Tenants with about this share of the rows, the nearest first, some more where there are many; [None] for all rows."""
        if share == 1:
            return [None]
        sizes = np.bincount(getattr(self, column)[:self.rows], minlength=TENANTS)
        off = np.abs(np.log(np.maximum(sizes, 0.5) / (share * self.rows)))
        return [int(t) for t in np.argsort(off, kind="stable")[:10] if off[t] < 0.1] or [int(np.argmin(off))]

    def exact(self, k, column=None, tenant=None, rows=None):
        """For each query its k nearest rows' distances, in order."""
        rows = self.rows if rows is None else rows
        which = np.arange(rows) if tenant is None else np.flatnonzero(getattr(self, column)[:rows] == tenant)
        return nearest(self.queries, self.data, which, k)

    def distance(self, query, rows):
        return 1 - self.data[rows] @ self.queries[query]

    # --- as COPY takes them

    def copy(self, start, end):
        """The rows of a range as binary COPY, in pieces."""
        yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
        for begin in range(start, end, 1000):
            stop = min(begin + 1000, end)
            vectors = self.data[begin:stop].astype(">f4")
            yield b"".join(self.line(row, vectors[row - begin]) for row in range(begin, stop))
        yield b"\xff\xff"

    def line(self, row, vector):
        fields = (tenant_name(self.namespace[row]), self.key(row).encode(), struct.pack(">q", EPOCH + row * 1000),
                  self.texts[row % len(self.texts)].encode(), struct.pack(">hh", DIMENSIONS, 0) + vector.tobytes(),
                  b'\x01{"source": "packages", "row": %d}' % row, tenant_name(self.user[row]), b"agent/%d" % (row % 7))
        return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(f)) + f for f in fields)


def tenant_name(number):
    return b"tenant/%05d" % number


def copy_plain(vectors):
    """(id, embedding) as binary COPY, in pieces."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    head = struct.pack(">i", 4 + DIMENSIONS * 4) + struct.pack(">hh", DIMENSIONS, 0)
    for row, vector in enumerate(vectors.astype(">f4")):
        yield struct.pack(">hii", 2, 4, row) + head + vector.tobytes()
    yield b"\xff\xff"


def nearest(queries, data, which, k):
    """Exact distances of the k nearest of data[which], by query; a chunk of the data at a time."""
    best = np.full((len(queries), 0), np.inf, np.float32)
    for start in range(0, len(which), CHUNK):
        part = which[start:start + CHUNK]
        whole = part[-1] - part[0] + 1 == len(part)
        best = np.concatenate([best, 1 - queries @ (data[part[0]:part[-1] + 1] if whole else data[part]).T], axis=1)
        if best.shape[1] > k:
            best = np.partition(best, k - 1, axis=1)[:, :k]
    return np.sort(best, axis=1)
