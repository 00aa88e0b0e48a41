"""prometheus.py - a Prometheus server of our own, asked over its HTTP interface."""

import json
import math
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request


class Unreachable(Exception):
    pass


def get(url, **parameters):
    """Body of a GET; HTTP errors are answers too, as Prometheus explains them in the body."""
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        raise Unreachable(f"{url}: {error}") from error


class Prometheus:
    def __init__(self, program, folder, port, targets, rules):
        """targets: job -> list of host:port."""
        self.url, self.folder, self.began = f"http://127.0.0.1:{port}", folder, None
        jobs = "".join(
            f"  - job_name: {job}\n    static_configs: [{{targets: {json.dumps(hosts)}}}]\n" for job, hosts in targets.items()
        )
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n"
            f"rule_files: {json.dumps([str(rules)])}\nscrape_configs:\n{jobs}"
        )
        self.log = open(folder / "prometheus.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def ready(self):
        try:
            return "Ready" in get(f"{self.url}/-/ready")
        except Unreachable:
            return False

    def ask(self, path, **parameters):
        answer = json.loads(get(f"{self.url}/api/v1/{path}", **parameters))
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    def value(self, expr):
        """The one number of an instant query; None without a result."""
        result = self.ask("query", query=expr)["result"]
        return float(result[0]["value"][1]) if result else None

    def at_end(self, expr, when):
        """(labels, value) of an instant query."""
        return [(row["metric"], float(row["value"][1])) for row in self.ask("query", query=expr, time=when)["result"]]

    def over_time(self, expr, start, end, step):
        """(labels, [(time, value)]) of a range query, without NaN; series that have nothing else are left out."""
        found = []
        for row in self.ask("query_range", query=expr, start=start, end=end, step=step)["result"]:
            points = [(t, float(v)) for t, v in row["values"] if math.isfinite(float(v))]
            if points:
                found.append((row["metric"], points))
        return found

    def wait(self, expr, why, seconds=60):
        """Until an expression has a result."""
        deadline = time.monotonic() + seconds
        while True:
            if self.ask("query", query=expr)["result"]:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"monitoring/proof: {why}: {expr} has no result after {seconds} s")
            time.sleep(0.5)
