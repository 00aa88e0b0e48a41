"""lab.py - what the benchmark measures with: a stack, a database session, CPU samples, runs of the worker and of the ceiling.

The clock of a run is PostgreSQL's: from the first committed transaction to the last, of the worker as memingest.batches says
(committed_at is taken right before COMMIT). CPU is sampled from /proc every 50 ms with its time, and cut to the same interval by
interpolation, so that neither starting nor joining the group nor waiting at the end counts for or against anybody.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICK = os.sysconf("SC_CLK_TCK")


def check(*command, **options):
    """Runs a program and returns what it prints; ends the benchmark with its words when it fails."""
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def cached_python(name, packages):
    """An interpreter that has these packages, made once and kept in the cache; None when they cannot be had."""
    folder = os.path.join(check("tests/fetch", "cache").strip(), name)
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(os.path.join(folder, "complete")):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            check(sys.executable, "-m", "venv", folder)
            check(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        except SystemExit as failure:
            print(failure, file=sys.stderr)
            return None
        with open(os.path.join(folder, "complete"), "w", encoding="ascii"):
            pass
    return python


# What the model of `tests/fetch minilm` needs, and what asks a database.
VECTOR_PACKAGES = ["--no-deps", "onnxruntime==1.23.2", "tokenizers==0.22.2", "numpy==2.3.5", "psycopg==3.3.9", "psycopg-binary==3.3.9",
                   "typing_extensions==4.15.0"]


def go_on_with_vectors(script, missing):
    """The script begins anew under the interpreter of the cache that has these packages; missing: how it ends where they cannot be had."""
    python = cached_python("bench-vectors-python", VECTOR_PACKAGES)
    if not python:
        raise SystemExit(missing)
    if os.path.dirname(sys.executable) != os.path.dirname(python):
        os.execv(python, [python, os.path.abspath(script), *sys.argv[1:]])


def machine():
    model = ""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


# --- CPU and memory from /proc


def read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def children(pid):
    found = [pid]
    for task in read(f"/proc/{pid}/task/{pid}/children").split():
        found += children(int(task))
    return found


def cpu_seconds(pid):
    """A process with its children, those that it has waited for included."""
    total = 0.0
    for one in children(pid):
        stat = read(f"/proc/{one}/stat").rpartition(")")[2].split()
        if stat:
            total += sum(map(int, stat[11:15])) / TICK
    return total


def peak_kib(pid):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


class Sampler(threading.Thread):
    """CPU seconds of groups of processes over time. groups: name -> list of pids, which may grow."""

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.groups, self.samples, self.peaks, self.ended = groups, [], {}, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.05):
            self.sample()

    def sample(self):
        sums = {name: sum(map(cpu_seconds, pids)) for name, pids in self.groups.items()}
        self.samples.append((time.time(), sums))
        for name in self.groups:
            for pid in self.groups[name]:
                self.peaks[pid] = max(self.peaks.get(pid, 0), peak_kib(pid))

    def stop(self):
        self.ended.set()
        self.join()

    def at(self, name, when):
        before = self.samples[0]
        for after in self.samples:
            if after[0] >= when:
                span = after[0] - before[0]
                share = (when - before[0]) / span if span > 0 else 1
                return before[1][name] + share * (after[1][name] - before[1][name])
            before = after
        return before[1][name]

    def used(self, name, start, end):
        return self.at(name, end) - self.at(name, start)


# --- the stack


class Stack:
    """Broker, database and registry in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {}
        self.session = None
        self.begun = False

    def verb(self, verb, *arguments):
        return check("tests/stack", *verb.split(), self.folder, *arguments)

    def up(self, settings):
        self.begun = True
        os.environ["STACK_JOIN_DELAY"] = "500"  # several processes begin together
        self.verb("start")
        for name, value in settings.items():
            self.verb("psql", "-c", f"ALTER SYSTEM SET {name} = '{value}'")
        self.verb("pg restart")
        self.env = dict(line.split("=", 1) for line in self.verb("env").splitlines())
        self.session = Session(self.env)

    def down(self, keep):
        if self.session:
            self.session.close()
        if self.begun and not keep:
            self.verb("stop", "--rm")

    def pid(self, name):
        return int(self.env[f"{name}_PID"])


class Session:
    """One psql that stays, because starting one for each question would cost more CPU than what is measured."""

    MARK = "-- end --"

    def __init__(self, env):
        self.psql = subprocess.Popen(
            [f"{env['PG_BIN']}/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-d", env["ADMIN_DSN"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ask(self, sql):
        """Rows of texts. Ends the benchmark on an error."""
        self.psql.stdin.write(f"{sql};\n\\echo '{self.MARK}'\n")
        self.psql.stdin.flush()
        rows = []
        for line in self.psql.stdout:
            line = line.rstrip("\n")
            if line == self.MARK:
                return rows
            if line.startswith("ERROR:"):
                raise SystemExit(f"bench: {sql}: {line}")
            if line.startswith(("NOTICE:", "WARNING:", "HINT:", "DETAIL:")):
                continue
            rows.append(line.split("\t"))
        raise SystemExit(f"bench: the database is gone: {sql}")

    def number(self, sql):
        return float(self.ask(sql)[0][0] or 0)

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()


# --- the delaying proxy


class Delay:
    """with Delay(program, env, milliseconds) as dsn: a DSN that leads to the database by way of a longer road."""

    def __init__(self, program, env, milliseconds):
        self.env = env
        self.command = [program, "127.0.0.1", env["PGPORT"], str(milliseconds)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        port = self.process.stdout.readline().strip()
        return self.env["DSN"].replace(f":{self.env['PGPORT']}/", f":{port}/")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


# --- the worker


class Lab:
    """The programs under test and the state that they share."""

    def __init__(self, build, folder):
        self.worker_program = os.path.join(ROOT, build, "memingest")
        self.tools = os.path.join(ROOT, build, "bench")
        self.folder = folder
        self.stack = Stack(os.path.join(folder, "stack"))
        self.ini = os.path.join(folder, "bench.ini")
        self.log = os.path.join(folder, "worker.log")
        self.runs = 0

    def up(self, settings, *migrate):
        self.stack.up(settings)
        text = self.stack.verb("config").replace("= schemas/", f"= {ROOT}/schemas/")
        with open(self.ini, "w", encoding="utf-8") as f:
            f.write(text + "[http]\nlisten = off\n")
        self.migrate(*migrate)

    def migrate(self, *options):
        check(self.worker_program, "migrate", "-c", self.ini, *options)

    @property
    def db(self):
        return self.stack.session

    def produce(self, topic, count, *options):
        """New keys alone. Without --start-time the events carry the time at which they are sent."""
        check(self.worker_program, "produce", "memory", "-c", self.ini, "--topic", topic, "--count", str(count),
              "--update-share", "0", *options)

    def ceiling(self, events, batch=5000, connections=1, dsn=None, **options):
        command = [os.path.join(self.tools, "ceiling"), "-c", self.ini, "--events", str(events), "--batch", str(batch),
                   "--connections", str(connections), "--postmaster", str(self.stack.pid("PG"))]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        env = dict(os.environ, MEMINGEST_POSTGRES_DSN=dsn or self.stack.env["DSN"])
        result = json.loads(check(*command, env=env))
        return {"events_per_s": result["rows_per_s"], "client_us": result["client_us"], "database_us": result["database_us"],
                "peak_mib": result["peak_kib"] / 1024, "row_bytes": result["row_bytes"]}

    def start_worker(self, group, topic, settings):
        command = [self.worker_program, "run", "-c", self.ini, "--set", f"kafka.group.id={group}",
                   "--set", f"stream.memory.topic={topic}"]
        for setting in settings:
            command += ["--set", setting]
        with open(self.log, "ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def new_group(self):
        self.runs += 1
        return f"bench-{os.getpid()}-{self.runs}"

    def wait_for(self, group, total, workers, limit=600):
        deadline = time.time() + limit
        while self.db.number(f"SELECT sum(next_offset) FROM memingest.offsets WHERE pipeline = '{group}'") < total:
            if time.time() > deadline or any(w.poll() is not None for w in workers):
                raise SystemExit(f"bench: the worker did not get through; see {self.log}")
            time.sleep(0.1)

    def worker(self, topic, total, lanes=1, processes=1, batch=5000, dsn=None, settings=()):
        """Reads a filled topic from its beginning into the table."""
        group = self.new_group()
        settings = [f"postgres.lanes={lanes}", f"batch.max_rows={batch}", "index.when=never", *settings]
        if dsn:
            settings.append(f"postgres.dsn={dsn}")
        groups = {"worker": [], "database": [self.stack.pid("PG")], "broker": [self.stack.pid("KAFKA")]}
        sampler = Sampler(groups)
        workers = [self.start_worker(group, topic, settings) for _ in range(processes)]
        groups["worker"] += [w.pid for w in workers]
        try:
            self.wait_for(group, total, workers)
            took_part = self.db.number(f"SELECT count(DISTINCT owner) FROM memingest.offsets WHERE pipeline = '{group}'")
        finally:
            time.sleep(0.1)
            sampler.stop()
            for w in workers:
                w.send_signal(signal.SIGTERM)
            for w in workers:
                w.wait(60)
        if took_part != processes:
            raise SystemExit(f"bench: {took_part:g} processes took part, not {processes}")
        return self.worker_result(group, sampler)

    def load(self, path, lanes=1, batch=5000):
        """Loads a file from its beginning into the table."""
        group = self.new_group()
        groups = {"worker": [], "database": [self.stack.pid("PG")]}
        sampler = Sampler(groups)
        command = [self.worker_program, "load", "memory", path, "-c", self.ini, "--json"]
        for setting in (f"kafka.group.id={group}", f"postgres.lanes={lanes}", f"batch.max_rows={batch}"):
            command += ["--set", setting]
        with open(self.log, "ab") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as process:
            groups["worker"].append(process.pid)
            if process.wait(600) != 0:
                raise SystemExit(f"bench: {' '.join(command)} ended with {process.returncode}: {self.log}")
        sampler.stop()
        return self.worker_result(group, sampler)

    def worker_result(self, group, sampler):
        rows = self.commits(group)
        start, end, events = rows[0][0], rows[-1][0], sum(n for _, n in rows[1:])
        if events <= 0 or end <= start:
            raise SystemExit("bench: too few batches to measure: more events or smaller batches are needed")
        result = {f"{name}_us": sampler.used(name, start, end) / events * 1e6 for name in sampler.groups}
        result["client_us"] = result.pop("worker_us")
        result["events_per_s"] = events / (end - start)
        result["events"] = events
        result["peak_mib"] = max(sampler.peaks.get(pid, 0) for pid in sampler.groups["worker"]) / 1024
        return result

    def commits(self, group):
        """(time, events) of each transaction."""
        where = f"FROM memingest.batches WHERE pipeline = '{group}'"
        rows = self.db.ask(f"SELECT extract(epoch FROM max(committed_at)), sum(rows) {where} GROUP BY xmin::text ORDER BY 1")
        return [(float(when), int(n)) for when, n in rows]
