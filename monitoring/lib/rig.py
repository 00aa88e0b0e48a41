"""rig.py - what the proof measures: a real broker, database and registry, workers of one group, an exporter; and what happens to them.

The database page needs pg_stat_statements. Where the PostgreSQL that tests/stack would take comes without it (the one out of the wheel
does), the newest of the system that has it is taken, and if that one has no pgvector, embeddings become real[] in a copy of the schemas.
"""

import glob
import os
import random
import shutil
import socket
import subprocess
import time

from rules import MONITORING, ROOT

TOPICS = ["memory.events:6", "pattern.events:3", "trajectory.events:6"]
SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "track_io_timing": "on", "autovacuum_naptime": "5s"}


def run(*command, **options):
    """Output of a program; ends the proof with its words when it fails."""
    done = subprocess.run([str(c) for c in command], cwd=ROOT, text=True, capture_output=True, check=False, **options)
    if done.returncode:
        raise SystemExit(
            f"monitoring/proof: {' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def free_port():
    """Below the ephemeral range, so that no client gets it while a worker restarts."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def has(pg_bin, extension):
    shared = run(f"{pg_bin}/pg_config", "--sharedir").strip() if os.path.exists(f"{pg_bin}/pg_config") else ""
    return os.path.exists(f"{shared}/extension/{extension}.control")


def choose_postgres():
    """(folder of the programs, whether it has pgvector)."""
    preferred = run("tests/stack", "postgres").strip()
    system = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]), reverse=True)
    for pg_bin in [preferred, *system]:
        if has(pg_bin, "pg_stat_statements"):
            return pg_bin, has(pg_bin, "vector")
    raise SystemExit("monitoring/proof: the database page needs a PostgreSQL with pg_stat_statements (Debian: postgresql)")


class Rig:
    def __init__(self, folder, memingest, exporter):
        self.folder, self.memingest, self.exporter_program = folder, memingest, exporter
        self.stack, self.config = folder / "stack", folder / "memingest.ini"
        self.workers, self.producers, self.exporter = {}, [], None
        self.ports = [free_port() for _ in range(3)]
        self.exporter_port = free_port()

    def up(self):
        pg_bin, vector = choose_postgres()
        os.environ["STACK_PG_BIN"] = pg_bin
        run("tests/stack", "start", self.stack, *TOPICS)
        for name, value in SETTINGS.items():
            run("tests/stack", "psql", self.stack, "-c", f"ALTER SYSTEM SET {name} = '{value}'")
        run("tests/stack", "pg", "restart", self.stack)
        run("tests/stack", "psql", self.stack, "-c", "CREATE EXTENSION pg_stat_statements")
        self.write_config(vector)
        run(self.memingest, "migrate", "-c", self.config)
        version = "PostgreSQL " + run(f"{pg_bin}/postgres", "--version").split()[2]
        return version if vector else version + ", without pgvector: embeddings are real[]"

    def write_config(self, vector):
        schemas = self.folder / "schemas"
        shutil.copytree(ROOT / "schemas", schemas)
        if not vector:
            for path in schemas.glob("*.avsc"):
                path.write_text(path.read_text().replace("vector(384)", "real[]"))
        text = run("tests/stack", "config", self.stack).replace("= schemas/", f"= {schemas}/")
        self.config.write_text(text + "[batch]\nmax_rows = 500\n")

    def down(self):
        for process in [*self.workers.values(), *self.producers, *([self.exporter] if self.exporter else [])]:
            process.kill()
            process.wait()
        run("tests/stack", "stop", self.stack, "--rm")

    # --- processes

    def spawn(self, name, *command, **options):
        with open(self.folder / f"{name}.log", "a", encoding="utf-8") as log:
            return subprocess.Popen([str(c) for c in command], cwd=ROOT, stdout=log, stderr=log, **options)

    def start_worker(self, i):
        self.workers[i] = self.spawn(
            f"worker-{i}", self.memingest, "run", "-c", self.config, "--set", f"http.listen=127.0.0.1:{self.ports[i]}"
        )

    def stop_worker(self, i):
        process = self.workers.pop(i)
        process.terminate()
        if process.wait(60) != 0:
            raise SystemExit(f"monitoring/proof: worker {i} ended with {process.returncode}: see its log")

    def start_exporter(self):
        """An exporter before 0.15 gets the queries that newer ones have built in; it says its version on either stream."""
        done = subprocess.run([self.exporter_program, "--version"], capture_output=True, text=True, check=True)
        version = (done.stdout + done.stderr).split("version ")[1].split()[0].split("+")[0]
        old = tuple(map(int, version.split(".")[:2])) < (0, 15)
        queries = (MONITORING / "postgres/queries.yaml").read_text()
        if old:
            queries += (MONITORING / "postgres/queries-old.yaml").read_text()
        (self.folder / "queries.yaml").write_text(queries)
        env = dict(line.split("=", 1) for line in run("tests/stack", "env", self.stack).splitlines())
        self.exporter = self.spawn(
            "exporter",
            self.exporter_program,
            f"--web.listen-address=127.0.0.1:{self.exporter_port}",
            f"--extend.query-path={self.folder}/queries.yaml",
            *([] if old else ["--collector.stat_statements"]),
            env=os.environ | {"DATA_SOURCE_NAME": env["ADMIN_DSN"] + "?sslmode=disable"},
        )
        return version

    def produce(self, stream, rate, seconds):
        self.producers.append(
            self.spawn(
                f"produce-{stream}",
                self.memingest,
                "produce",
                "-c",
                self.config,
                stream,
                "--rate",
                rate,
                "--count",
                rate * seconds,
                "--keys",
                20000,
                "--update-share",
                "30%",
                "--delete-share",
                "2%",
                "--poison",
                "1/200",
            )
        )

    def produced(self):
        """Waits for the producers; how many events they were to send is what they sent, or the proof ends."""
        for process in self.producers:
            if process.wait(300) != 0:
                raise SystemExit(f"monitoring/proof: a producer ended with {process.returncode}: see its log in {self.folder}")
        self.producers = []

    # --- faults

    def stop_postgres(self, seconds):
        run("tests/stack", "pg", "stop", self.stack, "immediate")
        time.sleep(seconds)
        run("tests/stack", "pg", "start", self.stack)

    def stop_kafka(self, seconds):
        run("tests/stack", "kafka", "stop", self.stack)
        time.sleep(seconds)
        run("tests/stack", "kafka", "start", self.stack)

    def cut_sessions(self):
        run(
            "tests/stack",
            "psql",
            self.stack,
            "-c",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'memingest/%' AND pid <> pg_backend_pid()",
        )

    def block_table(self, seconds):
        """A lock on the target table: batches wait, and the exporter sees it."""
        run(
            "tests/stack",
            "psql",
            self.stack,
            "-c",
            f"BEGIN; LOCK TABLE memory_entries IN SHARE MODE; SELECT pg_sleep({seconds}); COMMIT",
        )

    def vacuum(self):
        run("tests/stack", "psql", self.stack, "-c", "ANALYZE")
