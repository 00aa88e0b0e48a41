#!/usr/bin/env python3
"""A server of vectors that speaks OpenAI's protocol, with a real model: all-MiniLM-L6-v2 (int8, 384 dimensions, by onnxruntime), for `make demo`
and for trying embeddings without an account anywhere.

  tests/embedding_server.py [--port 8090] [--port-file FILE]
  tests/embedding_server.py --fetch      model and packages into the cache, and no server

  POST /v1/embeddings   {"model": "minilm", "input": "text" or ["text", ...], "encoding_format": "float" or "base64"}
                        -> {"data": [{"index": 0, "embedding": ...}, ...], "model": .., "usage": {"prompt_tokens": N, "total_tokens": N}}
  GET  /health          200 once the model is loaded, which is before the port is open

What it refuses as OpenAI's does: 400 for an empty text and a wrong request, 413 over 256 texts or 2 MB. A text is cut at 128 tokens. Loopback
only; without a key. Prints the port as its first line; ends with SIGTERM.

Model and Python packages are fetched into the cache at first use, as for `make bench-vectors` (tests/fetch); exit 69 where they cannot be had.
"""
import argparse
import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench"))
from lab import check, go_on_with_vectors  # noqa: E402

NAME, MOST_TEXTS, MOST_BYTES = "minilm", 256, 2 << 20


class Refused(Exception):
    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


def texts_of(request):
    texts = request.get("input") if isinstance(request, dict) else None
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise Refused(400, "'input' is a text or a list of texts")
    if len(texts) > MOST_TEXTS:
        raise Refused(413, f"{len(texts)} texts are more than {MOST_TEXTS}")
    if not all(texts):
        raise Refused(400, "'input' has an empty text")
    return texts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None
    turn = threading.Lock()  # one request at a time: the model has all cores

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def embed(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self.close_connection = True  # what is not read would be taken for the next request
            raise Refused(413, f"a request of over {MOST_BYTES} bytes")
        try:
            request = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise Refused(400, f"the request is no JSON: {error}") from None
        if self.path != "/v1/embeddings":
            raise Refused(404, f"there is no {self.path}")
        texts = texts_of(request)
        with self.turn:
            vectors = self.model.vectors(texts)
        tokens = sum(len(e.ids) for e in self.model.tokenizer.encode_batch(texts))
        packed = request.get("encoding_format") == "base64"
        data = [{"object": "embedding", "index": i, "embedding": base64.b64encode(v.tobytes()).decode() if packed else v.tolist()}
                for i, v in enumerate(vectors)]
        return {"object": "list", "data": data, "model": NAME, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}

    def do_POST(self):
        try:
            self.answer(200, self.embed())
        except Refused as refused:
            self.answer(refused.status, {"error": {"message": str(refused), "type": "invalid_request_error"}})

    def do_GET(self):
        self.answer(200 if self.path == "/health" else 404, {"model": NAME})

    def log_message(self, format, *args):
        print(format % args, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8090, help="0: any free one")
    parser.add_argument("--port-file")
    parser.add_argument("--fetch", action="store_true")
    return parser.parse_args()


def model_folder():
    """Where it is now. That it cannot be had is no fault of ours."""
    try:
        return check("tests/fetch", "minilm").strip()
    except SystemExit as failure:
        print(failure, file=sys.stderr)
        raise SystemExit(69) from None


def main():
    args = arguments()
    go_on_with_vectors(__file__, 69)
    folder = model_folder()
    if args.fetch:
        print(f"the model of the demo is in {folder}")
        return
    from embed import Model
    Handler.model = Model(folder, os.cpu_count())
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    print(server.server_port, flush=True)
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as f:
            f.write(f"{server.server_port}\n")
        os.rename(args.port_file + ".new", args.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
