"""contenders.py - ways to make vectors searchable, each in a database of its own: how each is built, and how each is asked.

What building costs is taken over the whole server (/proc of the postmaster with all its children, those that ended included, so parallel
workers count), what a query costs over its own backend. A query's vector is bound once, in binary, in a statement that is prepared; one
session asks all queries of a contender. Parallel query is off while searching: it would hide CPU behind wall time.
"""

import os
import time

import numpy as np
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from lab import check, cpu_seconds
from vectorset import COLUMNS, DIMENSIONS, copy_plain, nearest

TABLE = "memory_entries"
BATCH = 5000  # rows of a transaction, as a worker writes them
FUNCTION = "memingest.search_memory_entries"
NAMES = ", ".join(COLUMNS)


class Query(bytes):
    """A vector in pgvector's binary form."""


def query_of(vector):
    return Query(DIMENSIONS.to_bytes(2, "big") + bytes(2) + vector.astype(">f4").tobytes())


class Place:
    """The server, and the databases in it."""

    def __init__(self, lab):
        self.lab, self.env = lab, lab.stack.env
        self.server = lab.stack.pid("PG")
        lab.stack.session.close()  # it is in the database that is copied below
        lab.stack.session = None
        self.admin = psycopg.connect(self.dsn("postgres", admin=True), autocommit=True)

    def dsn(self, database, admin=False):
        return self.env["ADMIN_DSN" if admin else "DSN"].rpartition("/")[0] + "/" + database

    def create(self, database, template):
        self.admin.execute(f"CREATE DATABASE {database} TEMPLATE {template} OWNER memingest STRATEGY file_copy")
        return self.connect(database)

    def connect(self, database):
        conn = psycopg.connect(self.dsn(database), autocommit=True)
        oid = conn.execute("SELECT 'vector'::regtype::oid").fetchone()[0]
        conn.adapters.register_dumper(Query, type("VectorDumper", (Dumper,), {"format": Format.BINARY, "oid": oid, "dump": lambda _, v: v}))
        return conn

    def settings(self, database):
        """The config of the benchmark, but for the database; written once, since others may be reading it."""
        path = os.path.join(self.lab.folder, f"{database}.ini")
        if os.path.exists(path):
            return path
        with open(self.lab.ini, encoding="utf-8") as f:
            text = f.read().replace(self.env["DSN"], self.dsn(database))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path


class Cost:
    """with Cost(place, database) as cost: what happens inside, in CPU (server and `programs` that it ran), wall, WAL and disk."""

    def __init__(self, place, database):
        self.place, self.database = place, database

    def now(self):
        wal, disk = self.place.admin.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(%s)",
                                             [self.database]).fetchone()
        ended = os.times()
        return (cpu_seconds(self.place.server) + ended.children_user + ended.children_system, time.time(), float(wal), disk)

    def __enter__(self):
        self.place.admin.execute("CHECKPOINT")
        self.before = self.now()
        return self

    def __exit__(self, *_):
        self.used = [after - before for after, before in zip(self.now(), self.before)]

    def a_vector(self, count, less=None):
        """A vector's part; `less`: the same of what is not to be counted."""
        cpu, wall, wal, disk = self.used
        each = {"vectors": count, "cpu_us": cpu / count * 1e6, "wall_us": wall / count * 1e6, "wal_bytes": wal / count, "disk_bytes": disk / count}
        if less:
            each.update({name: each[name] - less[name] for name in ("cpu_us", "wall_us", "wal_bytes", "disk_bytes")})
        return each


def load(conn, pieces, table=TABLE, names=NAMES):
    with conn.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)") as stream:
        for piece in pieces:
            stream.write(piece)


def backend_seconds(pid):
    """CPU of one backend; by the scheduler's nanoseconds where the kernel has them."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9
    except OSError:
        return cpu_seconds(pid)


class Contender:
    """One database and one session that searches it."""

    knob, ladder, note = "hnsw.ef_search", (40, 60, 80, 100, 120, 160, 200, 280, 400, 700, 1000), ""
    name = database = ""

    def __init__(self, place):
        self.place, self.conn = place, None

    def open(self):
        """A new session, so that what an earlier one has set or cached does not count."""
        if self.conn:
            self.conn.close()
        self.conn = self.place.connect(self.database)
        self.conn.execute("SET max_parallel_workers_per_gather = 0")
        self.prepare()
        self.cursor = self.conn.cursor(binary=True)

    def prepare(self):
        """Settings that do plain pgvector the most good: a plan for each filter's size, and scans that go on until k rows are found."""
        self.conn.execute("SET plan_cache_mode = force_custom_plan")
        self.conn.execute("SET hnsw.iterative_scan = relaxed_order")

    def effort(self, n):
        self.conn.execute(f"SET {self.knob} = {n}" if n else f"RESET {self.knob}")

    def sql(self, column):
        where = f" WHERE {column} = %(tenant)s" if column else ""
        return f"SELECT namespace, key, value, embedding <=> %(query)s AS distance FROM {TABLE}{where} ORDER BY 4 LIMIT %(k)s"

    def ask(self, query, k, column=None, tenant=None):
        return self.cursor.execute(self.sql(column), {"query": query, "tenant": tenant, "k": k}, prepare=True).fetchall()

    def cpu(self):
        return backend_seconds(self.conn.info.backend_pid)


HNSW = f"CREATE INDEX ON {TABLE} USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"


class BulkHnsw(Contender):
    """One index, built when all rows are there."""

    name, database = "HNSW, built in bulk", "bulk"

    def build(self, _vectors, _plain):
        conn = self.place.create(self.database, "filled")
        with Cost(self.place, self.database) as cost:
            conn.execute(HNSW)
        rows = conn.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]
        conn.close()
        return [{"what": self.name, **cost.a_vector(rows)}]


class LiveHnsw(Contender):
    """A sample is enough: it is never searched, since a graph that grew row by row answers like one built in bulk."""

    name, database = "HNSW, live", "live"

    def __init__(self, place, sample):
        super().__init__(place)
        self.sample = sample

    def build(self, vectors, plain):
        with self.place.create(self.database, "unfilled") as conn:
            conn.execute(HNSW)
            with Cost(self.place, self.database) as cost:
                load(conn, vectors.copy(vectors.rows, vectors.rows + self.sample))
        return [{"what": f"{self.name}, 0 to {self.sample:,} rows", **cost.a_vector(self.sample, plain)}]

    def build_into(self, vectors, plain):
        """Into the full index; after the searches, since it adds rows."""
        with self.place.connect(BulkHnsw.database) as conn, Cost(self.place, BulkHnsw.database) as cost:
            load(conn, vectors.copy(vectors.rows, vectors.rows + self.sample))
        return [{"what": f"{self.name}, at {vectors.rows:,} rows", **cost.a_vector(self.sample, plain)}]


class LiveIvf(Contender):
    """IVFFlat whose lists are trained on the first tenth, the rest inserted into it."""

    name, database, knob = "IVFFlat, live", "ivf", "ivfflat.probes"
    ladder = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600, 1000)

    def build(self, vectors, plain):
        tenth = vectors.rows // 10
        lists = max(10, vectors.rows // 1000)
        self.ladder = [n for n in self.ladder if n < lists] + [lists]
        with self.place.create(self.database, "unfilled") as conn:
            load(conn, vectors.copy(0, tenth))
            conn.execute(f"CREATE INDEX ON {TABLE} USING ivfflat (embedding vector_cosine_ops) WITH (lists = {lists})")
            with Cost(self.place, self.database) as cost:
                load(conn, vectors.copy(tenth, vectors.rows))
            conn.execute(f"VACUUM ANALYZE {TABLE}")
        return [{"what": f"{self.name}, {lists} lists", **cost.a_vector(vectors.rows - tenth, plain)}]

    def prepare(self):
        self.conn.execute("SET plan_cache_mode = force_custom_plan")
        self.conn.execute("SET ivfflat.iterative_scan = relaxed_order")


class Ours(Contender):
    """memingest's segments, all but the last rows sealed: these are the tail that a search finds as well."""

    name, database = "memingest", "ours"
    ladder = (0,)  # the function chooses its effort itself

    def __init__(self, place, tail):
        super().__init__(place)
        self.tail = tail

    @staticmethod
    def missing(place):
        """Why it cannot take part, or nothing."""
        with place.connect("unfilled") as conn:
            if not conn.execute("SELECT to_regproc(%s) IS NOT NULL", [FUNCTION]).fetchone()[0]:
                return f"migrate makes no function {FUNCTION}"
        return ""

    def index(self, *words):
        return check(self.place.lab.worker_program, "index", *words, "-c", self.place.settings(self.database))

    def seal(self, what, count):
        with Cost(self.place, self.database) as cost:
            self.index("build", "memory")
        return {"what": what, **cost.a_vector(count)}

    def build(self, vectors, _plain):
        """The tail comes once the rest is sealed."""
        settled = vectors.rows - self.tail
        with self.place.create(self.database, "unfilled") as conn:
            for start in range(0, settled, BATCH):
                load(conn, vectors.copy(start, min(start + BATCH, settled)))
            conn.execute(f"VACUUM ANALYZE {TABLE}")
            line = self.seal(self.name, settled)
            load(conn, vectors.copy(settled, vectors.rows))
        return [line]

    def prepare(self):
        """Nothing: it is to be right as it comes."""

    def sql(self, column):
        named = f", {column} => %(tenant)s" if column else ""
        return f"SELECT namespace, key, value, distance FROM {FUNCTION}(%(query)s, %(k)s{named})"


# --- is the widened set as hard as the real one


def recall_of_one_index(place, vectors, data, ef, k):
    """recall@k of one HNSW index over these vectors."""
    with place.create("hard", "unfilled") as conn:
        conn.execute("CREATE TABLE t (id int, embedding vector(384))")
        load(conn, copy_plain(data), "t", "id, embedding")
        conn.execute("CREATE INDEX ON t USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)")
        conn.execute(f"SET hnsw.ef_search = {ef}")
        conn.execute("SET enable_seqscan = off")
        limits = nearest(vectors.queries, data, np.arange(len(data)), k)[:, -1] + 1e-5
        hits = 0
        for query, limit in zip(vectors.queries, limits):
            found = conn.execute("SELECT id FROM t ORDER BY embedding <=> %s LIMIT %s", [query_of(query), k], prepare=True).fetchall()
            hits += int((1 - data[[r[0] for r in found]] @ query <= limit).sum())
    place.admin.execute("DROP DATABASE hard WITH (FORCE)")
    return hits / len(vectors.queries) / k
