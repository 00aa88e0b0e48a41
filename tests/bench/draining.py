"""draining.py - searches while rows come in and the indexer works: how far it lags, what searches cost meanwhile, and whether any row is missed.

Both parts go on with memingest's database of the parts before, its rows sealed, and with a worker that runs beside: its indexer is what works.
Rows come by COPY in committed transactions of 1,000 (`copy`), or through Kafka and that worker (`kafka`). Searches begin by the clock, not when
the one before has ended; a latency counts from when the search was due, so that what queues is seen.
"""

import json
import os
import signal
import subprocess
import threading
import time

from contenders import Cost, Ours, load, query_of
from lab import check, cpu_seconds

SESSIONS = 4  # that search side by side
BATCH = 1000
BUCKET = 5  # seconds of the curve's points
SETTLED = 10  # seconds of searches before rows come


class Worker:
    """with Worker(bench): the real worker, on memingest's database, for its indexer and for what comes through Kafka."""

    def __init__(self, bench):
        self.bench = bench

    def __enter__(self):
        place, lab = self.bench.place, self.bench.lab
        self.process = lab.start_worker(lab.new_group(), "memory.events", [f"postgres.dsn={place.dsn(Ours.database)}"])
        return self

    def __exit__(self, *_):
        ended = self.process.poll()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if ended is not None:
            raise SystemExit(f"bench: the worker ended by itself, status {ended}; see {self.bench.lab.log}")


def unindexed(bench):
    """Rows with a vector that no segment holds."""
    config = bench.place.settings(Ours.database)
    return json.loads(check(bench.lab.worker_program, "index", "status", "memory", "--json", "-c", config))["unindexed_rows"]


# --- who does something meanwhile


class Meanwhile(threading.Thread):
    """A thread whose failure ends the benchmark, at `finish`."""

    def __init__(self, work, *arguments):
        super().__init__(daemon=True)
        self.work, self.arguments, self.failure, self.ended = work, arguments, None, threading.Event()
        self.start()

    def run(self):
        try:
            self.work(self.ended, *self.arguments)
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure

    def finish(self):
        self.ended.set()
        self.join()
        if self.failure:
            raise self.failure


def session(bench):
    searcher = Ours(bench.place, 0)
    searcher.open()
    return searcher


def search_by_clock(ended, bench, began, nth, rate, k, samples):
    """The nth of SESSIONS: (when it was due, seconds until it was answered, seconds that it ran)."""
    searcher, queries = session(bench), [query_of(q) for q in bench.vectors.queries]
    i = nth
    while not ended.is_set():
        due = began + i / rate
        if ended.wait(max(0, due - time.time())):
            break
        begun = time.time()
        searcher.ask(queries[i % len(queries)], k)
        samples.append((due, time.time() - due, time.time() - begun))
        i += SESSIONS


def watch_backlog(ended, bench, curve):
    while not ended.wait(1):
        curve.append((time.time(), unindexed(bench)))


def ingest_by_copy(first, count, rate, bench, commits):
    already = commits[-1][1] if commits else 0
    with bench.place.connect(Ours.database) as conn:
        began = time.time()
        for start in range(first, first + count, BATCH):
            time.sleep(max(0, began + (start - first) / rate - time.time()))
            load(conn, bench.vectors.copy(start, min(start + BATCH, first + count)))
            commits.append((time.time(), already + min(start + BATCH, first + count) - first))


def events_file(bench, first, count):
    """The rows as JSON lines, for `produce`."""
    vectors, path = bench.vectors, os.path.join(bench.lab.folder, "drain.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        for row in range(first, first + count):
            f.write(json.dumps({"event_time": 1767225600000000 + row * 1000, "namespace": f"tenant/{vectors.namespace[row]:05d}",
                                "key": vectors.key(row), "value": vectors.texts[row % len(vectors.texts)],
                                "embedding": [round(float(x), 7) for x in vectors.data[row]]}) + "\n")
    return path


def feed(_ended, pipe, path, rate):
    """A tenth of a second's lines at a time: `produce` has no pace of its own for what is in a file."""
    began, sent = time.time(), 0
    with open(path, "rb") as lines, pipe:
        for line in lines:
            if sent % max(1, rate // 10) == 0:
                pipe.flush()
                time.sleep(max(0, began + sent / rate - time.time()))
            pipe.write(line)
            sent += 1


def ingest_by_kafka(path, count, rate, bench, commits):
    producer = subprocess.Popen([bench.lab.worker_program, "produce", "memory", "-c", bench.place.settings(Ours.database), "--file", "-"],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    feeder = Meanwhile(feed, producer.stdin, path, rate)
    with bench.place.connect(Ours.database) as conn:
        done, already = 0, commits[-1][1] if commits else 0
        while done < count:
            if producer.poll():
                raise SystemExit(f"bench: produce ended with status {producer.returncode}")
            time.sleep(0.2)
            done = int(conn.execute("SELECT coalesce(sum(rows), 0) FROM memingest.batches").fetchone()[0])
            commits.append((time.time(), already + done))
    feeder.finish()
    producer.wait()


# --- the parts


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def drain(bench, burst, rate, seconds, searches, ingest, limit=600):
    """Settled searches, then a burst and rows for some seconds, then until all is sealed."""
    first, count = bench.vectors.rows, rate * seconds
    samples, curve, commits = [], [], []
    path = events_file(bench, first + burst, count) if ingest == "kafka" else ""
    with Worker(bench) as worker:
        rest = wait_until_sealed(bench, limit)
        began = time.time()
        others = [Meanwhile(search_by_clock, bench, began, n, searches, 10, samples) for n in range(SESSIONS)]
        others.append(Meanwhile(watch_backlog, bench, curve))
        time.sleep(SETTLED)
        with Cost(bench.place, Ours.database) as cost:
            start, worker_cpu = time.time(), cpu_seconds(worker.process.pid)
            ingest_by_copy(first, burst, 1e9, bench, commits)
            steady = time.time()
            if path:
                ingest_by_kafka(path, count, rate, bench, commits)
            else:
                ingest_by_copy(first + burst, count, rate, bench, commits)
            came = time.time()
            rest -= wait_until_sealed(bench, limit)
            sealed = time.time()
        for other in others:
            other.finish()
        used = cost.used[0] + cpu_seconds(worker.process.pid) - worker_cpu
    settled = [s for due, s, _ in samples if due < start]
    meanwhile = [(s, ran) for due, s, ran in samples if start <= due < sealed]
    return {"burst": burst, "burst_per_s": burst / (steady - start), "rate": count / (came - steady), "ingest": ingest, "rows": burst + count,
            "seconds": came - start, "sealed_after_s": sealed - came, "sealed_per_s": (burst + count + rest) / (sealed - start),
            "most_unindexed": max((n for t, n in curve if t >= start), default=0), "searches_per_s": searches, "searches": len(meanwhile),
            "settled_p50_ms": percentile(settled, 0.5) * 1e3, "settled_p95_ms": percentile(settled, 0.95) * 1e3,
            "p50_ms": percentile([s for s, _ in meanwhile], 0.5) * 1e3, "p95_ms": percentile([s for s, _ in meanwhile], 0.95) * 1e3,
            "ran_p95_ms": percentile([ran for _, ran in meanwhile], 0.95) * 1e3, "cpu_us": used / (burst + count) * 1e6, "curve": curve_of(start, sealed, samples, curve, commits)}


def curve_of(start, sealed, samples, curve, commits):
    points = []
    for begin in range(-SETTLED, int(sealed - start) + 1, BUCKET):
        within = [s for due, s, _ in samples if begin <= due - start < begin + BUCKET]
        lag = [n for t, n in curve if begin <= t - start < begin + BUCKET]
        rows = [n for t, n in commits if t - start < begin + BUCKET]
        if within and lag:
            points.append({"s": begin, "unindexed": max(lag), "rows": rows[-1] if rows else 0, "searches": len(within),
                           "p50_ms": percentile(within, 0.5) * 1e3, "p95_ms": percentile(within, 0.95) * 1e3})
    return points


def wait_until_sealed(bench, limit):
    """The indexer may leave a small rest, which is what a tail is: how much it is."""
    deadline = time.time() + limit
    while True:
        rest = unindexed(bench)
        if rest <= int(os.environ.get("VECTORS_TAIL", 5000)):
            return rest
        if time.time() > deadline:
            raise SystemExit(f"bench: {rest:,} rows are still not indexed after {limit} s")
        time.sleep(0.5)


def missed(bench, count):
    """Each row of a committed batch is asked for by its own vector, two sessions sharing the batch, before the next batch is written."""
    first = bench.vectors.rows + bench.args.drained
    wrong, began, most = [], time.time(), 0
    with Worker(bench), bench.place.connect(Ours.database) as conn:
        searchers = [session(bench) for _ in range(2)]
        for start in range(first, first + count, BATCH):
            stop = min(start + BATCH, first + count)
            load(conn, bench.vectors.copy(start, stop))
            parts = [Meanwhile(look_for, bench, searcher, range(start + n, stop, 2), wrong) for n, searcher in enumerate(searchers)]
            for part in parts:
                part.join()
                part.finish()
            most = max(most, unindexed(bench))
        again = sum(found_with_effort(bench, searchers[0], row) for row in wrong)
    return {"rows": count, "missed": len(wrong), "of_these_found_by_more_effort": again, "most_unindexed": most,
            "seconds": time.time() - began, "keys": [bench.vectors.key(row) for row in wrong[:20]]}


def look_for(_ended, bench, searcher, rows, wrong):
    for row in rows:
        if not is_first(bench, searcher.ask(query_of(bench.vectors.data[row]), 1), row):
            wrong.append(row)


def is_first(bench, found, row):
    return bool(found) and found[0][1] == bench.vectors.key(row) and abs(found[0][3]) < 1e-5


def found_with_effort(bench, searcher, row):
    """Whether the row is there and a graph search just went past it."""
    searcher.effort(1000)
    rows = searcher.ask(query_of(bench.vectors.data[row]), 100)
    searcher.effort(0)
    return any(r[1] == bench.vectors.key(row) for r in rows)
