#!/usr/bin/env python3
"""Writes files/: the same 300 records as Avro containers of every codec, by another implementation than ours.

    python3 -m venv v && v/bin/pip install fastavro cramjam backports.zstd && v/bin/python tests/golden/make_files.py

Blocks are small, so there are many; the metadata holds entries that nobody knows. tests/unit/test_container.c reads them; running the
tests needs no Python.
"""
import os

import fastavro

SCHEMA = fastavro.parse_schema({
    "type": "record", "name": "R", "namespace": "golden", "fields": [
        {"name": "k", "type": "long"},
        {"name": "text", "type": ["null", "string"], "default": None},
        {"name": "v", "type": {"type": "array", "items": "float"}},
    ]})


def records():
    for i in range(300):
        yield {"k": i * i - 5000, "text": None if i % 3 == 0 else "text %d " % i * (i % 7), "v": [i / 4.0] * (i % 5)}


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
    for codec in ("null", "deflate", "snappy", "zstandard", "bzip2", "xz"):
        with open(os.path.join(folder, codec + ".avro"), "wb") as out:
            fastavro.writer(out, SCHEMA, records(), codec=codec, sync_interval=4000, sync_marker=b"0123456789abcdef",
                            metadata={"written.by": "make_files.py", "empty": ""})


main()
