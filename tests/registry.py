#!/usr/bin/env python3
"""A stand-in for a Confluent schema registry, for tests and the demo. Standard library only; in memory, but for
--state.

Answers
  GET  /schemas/ids/N                    {"schema": "...", "guid": ".."} (and references), or 404 with error_code 40403; over 31 bits, as
                                         the real one, 404 without a code of its own
  GET  /schemas/guids/GUID               the same; the GUID follows from the schema's text
  GET  /schemas/types                    ["AVRO"]
  GET  /subjects                         ["memory.events-value"]
  GET  /subjects/S/versions              [1, 2]
  GET  /subjects/S/versions/V            V is a number or "latest"
  POST /subjects/S/versions              {"schema": "...", "references": [..]} -> {"id": N, "guid": ".."}; the same schema
                                         keeps its id
  POST /subjects/S                       the same, but only looks: the version that it has, or 404 with 40401, 40403
and, without authentication, for tests that want to see it fail:
  POST /_control {"mode": "ok|down|slow|404", "status": 503, "delay": 2.0}
  GET  /_control                         {"mode": .., "requests": N, "paths": [..]}
  POST /_put {"id": 7, "body": {..}} or {"id": 7, "raw": "..", "status": 200}   any answer at all under an id;
                                         {"id": 7, "forget": true}: what is registered again

Modes: ok; down answers every request with "status"; slow waits "delay" seconds first; 404 answers "not found" without an error code,
as a wrong proxy would.

  tests/registry.py --port 0 --port-file /tmp/port --preload schemas

prints the port as its first line. Ends with SIGTERM, or when its standard input closes (--stdin), so that no test leaves it behind.
"""
import argparse
import base64
import hashlib
import json
import os
import ssl
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Registry:
    """What is registered, and how to behave. Guarded by one lock."""

    def __init__(self, args):
        self.lock = threading.Lock()
        self.state = args.state
        self.by_id = {}  # id -> {"schema": .., "guid": .., "references": [..]}
        self.ids = {}  # canonical text -> id
        self.subjects = {}  # name -> [id, ...], version = index + 1
        self.forced = {}  # id -> (status, text)
        self.paths = []
        self.mode = "down" if args.fail_with else "ok"
        self.status = args.fail_with or 503
        self.delay = args.delay
        if args.delay and self.mode == "ok":
            self.mode = "slow"

    def register(self, subject, schema, references):
        try:
            json.loads(schema)
        except (TypeError, ValueError):
            return 422, error(42201, "Invalid schema")
        key = json.dumps([json.loads(schema), references], sort_keys=True)
        with self.lock:
            number = self.ids.setdefault(key, len(self.ids) + 1)
            entry = {"schema": schema, "guid": str(uuid.UUID(bytes=hashlib.md5(key.encode()).digest()))}
            if references:
                entry["references"] = references
            self.by_id[number] = entry
            versions = self.subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
                self.save()
        return 200, {"id": number, "guid": entry["guid"]}

    def find(self, subject, schema, references):
        try:
            key = json.dumps([json.loads(schema), references], sort_keys=True)
        except (TypeError, ValueError):
            return 422, error(42201, "Invalid schema")
        with self.lock:
            if subject not in self.subjects:
                return 404, error(40401, "Subject '%s' not found." % subject)
            number = self.ids.get(key)
            if number not in self.subjects[subject]:
                return 404, error(40403, "Schema not found")
            version = self.subjects[subject].index(number) + 1
            return 200, dict(self.by_id[number], subject=subject, version=version, id=number)

    def save(self):
        if self.state:
            with open(self.state + ".new", "w", encoding="utf-8") as f:
                json.dump({"by_id": self.by_id, "ids": self.ids, "subjects": self.subjects}, f)
            os.rename(self.state + ".new", self.state)

    def load(self):
        if self.state and os.path.exists(self.state):
            with open(self.state, encoding="utf-8") as f:
                saved = json.load(f)
            self.by_id = {int(number): entry for number, entry in saved["by_id"].items()}
            self.ids = saved["ids"]
            self.subjects = saved["subjects"]

    def preload(self, folder):
        """memory_event.avsc goes under memory.events-value, memory_key.avsc under memory.events-key."""
        for name in sorted(os.listdir(folder)):
            if name.endswith(".avsc"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    self.register(subject_of(name), f.read(), [])

    def version(self, subject, version):
        versions = self.subjects.get(subject)
        if not versions:
            return 404, error(40401, "Subject '%s' not found." % subject)
        number = len(versions) if version in ("latest", "-1") else int(version) if version.isdigit() else 0
        if not 1 <= number <= len(versions):
            return 404, error(40402, "Version %s not found." % version)
        found = versions[number - 1]
        return 200, dict(self.by_id[found], subject=subject, version=number, id=found)


def error(code, message):
    return {"error_code": code, "message": message}


def subject_of(name):
    base = name[: -len(".avsc")]
    if base.endswith("_key"):
        return base[: -len("_key")] + ".events-key"
    return base[: -len("_event")] + ".events-value" if base.endswith("_event") else base + "-value"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    registry = None
    user = None
    token = None

    def log_message(self, *args):
        pass

    def reply(self, status, body, headers=()):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def allowed(self):
        given = self.headers.get("Authorization", "")
        if self.user and given != "Basic " + base64.b64encode(self.user.encode()).decode():
            return False
        return not self.token or given == "Bearer " + self.token

    def misbehave(self, path):
        """True when the mode has answered already."""
        r = self.registry
        with r.lock:
            r.paths.append(path)
            mode, status, delay = r.mode, r.status, r.delay
        if mode == "slow":
            time.sleep(delay)
        if mode == "down":
            self.reply(status, "out of order")
        if mode == "404":
            self.reply(404, "<html>no such page</html>")
        if mode in ("down", "404"):
            return True
        if not self.allowed():
            self.reply(401, error(40101, "Unauthorized"), [("WWW-Authenticate", 'Basic realm="registry"')])
            return True
        return False

    def do_GET(self):
        r = self.registry
        path = urlsplit(self.path).path
        parts = [unquote(p) for p in path.split("/")[1:]]
        if parts == ["_control"]:
            with r.lock:
                self.reply(200, {"mode": r.mode, "requests": len(r.paths), "paths": r.paths})
            return
        if not self.misbehave(path):
            with r.lock:
                status, body = self.look_up(parts)
            self.reply(status, body)

    def look_up(self, parts):
        r = self.registry
        if parts[:2] == ["schemas", "ids"] and len(parts) == 3 and parts[2].isdigit():
            number = int(parts[2])
            if number in r.forced:
                return r.forced[number]
            if number in r.by_id:
                return 200, r.by_id[number]
            return 404, error(404, "HTTP 404 Not Found") if number >> 31 else error(40403, "Schema %d not found" % number)
        if parts[:2] == ["schemas", "guids"] and len(parts) == 3:
            for entry in r.by_id.values():
                if entry.get("guid") == parts[2]:
                    return 200, entry
            return 404, error(40403, "Schema %s not found" % parts[2])
        if parts == ["schemas", "types"]:
            return 200, ["AVRO"]
        if parts == ["subjects"]:
            return 200, sorted(r.subjects)
        if parts[0] == "subjects" and parts[2:] == ["versions"] and parts[1] in r.subjects:
            return 200, list(range(1, len(r.subjects[parts[1]]) + 1))
        if parts[0] == "subjects" and len(parts) == 4 and parts[2] == "versions":
            return r.version(parts[1], parts[3])
        return 404, error(404, "HTTP 404 Not Found")

    def do_POST(self):
        r = self.registry
        path = urlsplit(self.path).path
        parts = [unquote(p) for p in path.split("/")[1:]]
        body = self.body()
        if parts == ["_control"]:
            with r.lock:
                r.mode = body.get("mode", r.mode)
                r.status = body.get("status", r.status)
                r.delay = body.get("delay", r.delay or 2.0)
            self.reply(200, {})
        elif parts == ["_put"]:
            with r.lock:
                if body.get("forget"):
                    r.forced.pop(body["id"], None)
                else:
                    r.forced[body["id"]] = (body.get("status", 200), body["raw"] if "raw" in body else body["body"])
            self.reply(200, {})
        elif self.misbehave(path):
            pass
        elif parts[0] == "subjects" and len(parts) == 2:
            self.reply(*r.find(parts[1], body.get("schema"), body.get("references") or []))
        elif parts[0] == "subjects" and len(parts) == 3 and parts[2] == "versions":
            self.reply(*r.register(parts[1], body.get("schema"), body.get("references") or []))
        else:
            self.reply(404, error(404, "HTTP 404 Not Found"))


def exit_with_stdin():
    while os.read(0, 4096):
        pass
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0: any free one")
    parser.add_argument("--port-file", help="the port is written here once it is open")
    parser.add_argument("--preload", action="append", default=[], metavar="FOLDER", help="register every .avsc of it")
    parser.add_argument("--state", metavar="FILE", help="keep what is registered there, over restarts")
    parser.add_argument("--user", help="NAME:PASSWORD for basic authentication")
    parser.add_argument("--token", help="for bearer authentication")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="speak https")
    parser.add_argument("--client-ca", metavar="FILE", help="with --tls: demand client certificates of this CA")
    parser.add_argument("--delay", type=float, default=0, help="seconds before each answer")
    parser.add_argument("--fail-with", type=int, default=0, metavar="STATUS", help="answer everything with it")
    parser.add_argument("--stdin", action="store_true", help="end when standard input closes")
    args = parser.parse_args()

    Handler.registry = Registry(args)
    Handler.registry.load()
    Handler.user = args.user
    Handler.token = args.token
    for folder in args.preload:
        Handler.registry.preload(folder)
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer((args.host, args.port), Handler)
    port = server.server_address[1]
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*args.tls)
        if args.client_ca:
            context.load_verify_locations(args.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as f:
            f.write("%d\n" % port)
        os.rename(args.port_file + ".new", args.port_file)
    print(port, flush=True)
    if args.stdin:
        threading.Thread(target=exit_with_stdin, daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
