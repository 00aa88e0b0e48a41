"""peers.py - what people do today, as a Kafka sink in Python: run by the benchmark with an interpreter that has the clients.

  peers.py METHOD --bootstrap B --dsn D --topic T --schema S --events N [--batch B]

  insert   one INSERT ... ON CONFLICT an event, each with a commit of its own (autocommit), then the offset
  copy     per batch: CREATE TEMP TABLE, COPY in text form, INSERT ... SELECT ... ON CONFLICT, DROP, COMMIT, then the offset

Both read with confluent-kafka, decode with fastavro and bind vectors as text, which is how the common drivers do it without pgvector's
own adapter. Both are at-least-once. Prints JSON: events, seconds from the end of the first write to the end of the last, the wall
clock of both, CPU-microseconds an event of this process in between.
"""

import argparse
import io
import json
import resource
import time

import fastavro
import psycopg
from confluent_kafka import Consumer

COLUMNS = ("namespace", "key", "event_time", "value", "embedding", "metadata", "tags", "user_id", "agent_id", "role",
           "tool_call_id", "data_source", "doc_id")
NAMES = ", ".join(COLUMNS)
UPSERT = ("ON CONFLICT (namespace, key) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in COLUMNS[2:]) +
          ", updated_at = now() WHERE excluded.event_time >= memory_entries.event_time OR memory_entries.event_time IS NULL")


def row_of(schema, message):
    """Behind the envelope of five bytes stands the datum."""
    event = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema)
    if event["embedding"] is not None:
        event["embedding"] = "[" + ",".join(map(repr, event["embedding"])) + "]"
    return [event[c] for c in COLUMNS]


def insert(conn, rows):
    sql = f"INSERT INTO memory_entries ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) {UPSERT}"
    for row in rows:
        conn.execute(sql, row)


def copy(conn, rows):
    with conn.transaction():
        conn.execute(f"CREATE TEMP TABLE staging AS SELECT {NAMES} FROM memory_entries WITH NO DATA")
        with conn.cursor() as cursor, cursor.copy(f"COPY staging ({NAMES}) FROM STDIN") as stream:
            for row in rows:
                stream.write_row(row)
        conn.execute(f"INSERT INTO memory_entries ({NAMES}) SELECT DISTINCT ON (namespace, key) {NAMES} FROM staging"
                     f" ORDER BY namespace, key, event_time DESC {UPSERT}")
        conn.execute("DROP TABLE staging")


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=["insert", "copy"])
    for name in ("bootstrap", "dsn", "topic", "schema"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()
    schema = fastavro.schema.load_schema(args.schema)
    consumer = Consumer({"bootstrap.servers": args.bootstrap, "group.id": f"peer-{time.time()}", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 50})
    consumer.subscribe([args.topic])
    write = insert if args.method == "insert" else copy
    seen = first = start = used = 0
    with psycopg.connect(args.dsn, autocommit=True) as conn:
        while seen < args.events:
            messages = consumer.consume(min(args.batch, args.events - seen), timeout=10)
            if not messages:
                raise SystemExit("no more messages")
            write(conn, [row_of(schema, m) for m in messages])
            consumer.commit(asynchronous=True)
            seen += len(messages)
            if not start:
                start, used, first = time.time(), cpu(), seen
    end, used = time.time(), cpu() - used
    consumer.close()
    print(json.dumps({"events": seen - first, "start": start, "end": end, "seconds": end - start,
                      "events_per_s": (seen - first) / (end - start), "client_us": used / (seen - first) * 1e6,
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
