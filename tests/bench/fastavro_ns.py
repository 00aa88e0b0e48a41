"""fastavro_ns.py SCHEMA DATA: nanoseconds that fastavro takes for one of the data that "decode --dump" wrote."""

import io
import struct
import sys
import time

import fastavro

schema = fastavro.schema.load_schema(sys.argv[1])
with open(sys.argv[2], "rb") as f:
    text = f.read()
data, at = [], 0
while at < len(text):
    (size,) = struct.unpack_from(">I", text, at)
    data.append(text[at + 4 : at + 4 + size])
    at += 4 + size
rounds, start = 0, time.process_time()
while rounds == 0 or time.process_time() - start < 0.5:
    for datum in data:
        fastavro.schemaless_reader(io.BytesIO(datum), schema)
    rounds += 1
print((time.process_time() - start) * 1e9 / (rounds * len(data)))
