#!/usr/bin/env python3
"""Writes cases.json: data of writers' schemas, and the rows that they have to become under readers' schemas.

The rules of schema resolution that Avro-C does not implement (defaults, aliases, enum defaults, promotion between string and
bytes) are checked against another implementation: fastavro writes each datum with the writer's schema and reads it with the
reader's; what it read is encoded here, by code that shares nothing with the worker, as COPY BINARY fields.

    python3 -m venv v && v/bin/pip install fastavro && v/bin/python tests/golden/make.py

A case: {"name", "writer", "reader", "datum" (hex), "delete", "columns": [{"name", "hex"} or {"name", "json"} or {"name",
"null"}]}. hex is the field behind its length. A datum that fastavro cannot resolve has "refused" in place of "columns". tests/unit/test_golden.c reads it; running the tests needs no Python.
"""
import datetime
import decimal
import io
import json
import os
import struct
import uuid

import fastavro

EPOCH = datetime.datetime(1970, 1, 1)
MICRO = datetime.timedelta(microseconds=1)
OID = {"boolean": 16, "bytea": 17, "bigint": 20, "smallint": 21, "integer": 23, "text": 25, "real": 700,
       "double precision": 701, "date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184, "interval": 1186,
       "numeric": 1700, "uuid": 2950, "jsonb": 3802}

PLAIN = {"boolean": "boolean", "int": "integer", "long": "bigint", "float": "real", "double": "double precision",
         "bytes": "bytea", "string": "text", "fixed": "bytea", "enum": "text", "map": "jsonb", "record": "jsonb"}
LOGICAL = {"date": "date", "time-millis": "time", "time-micros": "time", "timestamp-millis": "timestamptz",
           "timestamp-micros": "timestamptz", "local-timestamp-millis": "timestamp",
           "local-timestamp-micros": "timestamp", "uuid": "uuid", "decimal": "numeric", "duration": "interval"}


def unwrap(t):
    """The one type beside null of a union, or t."""
    if isinstance(t, list):
        rest = [b for b in t if b != "null"]
        return rest[0] if len(rest) == 1 else t
    return t


def sql_type(field, names):
    if "pg" in field and "type" in field["pg"]:
        return field["pg"]["type"]
    return derive(unwrap(field["type"]), names)


def derive(t, names):
    if isinstance(t, str):
        t = names.get(t, {"type": t})
    if t.get("logicalType") in LOGICAL:
        return LOGICAL[t["logicalType"]]
    if t["type"] == "array":
        item = derive(unwrap(t["items"]), names)
        return "jsonb" if item == "jsonb" else item + "[]"
    return PLAIN[t["type"]]


def collect(t, names):
    if isinstance(t, list):
        for b in t:
            collect(b, names)
    elif isinstance(t, dict):
        if "name" in t:
            names[t["name"]] = t
        for part in ("items", "values"):
            if part in t:
                collect(t[part], names)
        for f in t.get("fields", []):
            collect(f["type"], names)


def from_default(t, v, names):
    """fastavro hands a default out as the schema has it, in JSON: make a value of it."""
    if isinstance(t, list):
        t = next(b for b in t if fits_default(b, v, names))
    if isinstance(t, str):
        t = names.get(t, {"type": t})
    kind = t["type"]
    if kind in ("bytes", "fixed") and isinstance(v, str):
        v = v.encode("latin-1")
        if t.get("logicalType") == "decimal":
            v = decimal.Decimal(int.from_bytes(v, "big", signed=True)).scaleb(-t["scale"])
    elif kind == "int" and t.get("logicalType") == "date" and isinstance(v, int):
        v = EPOCH.date() + datetime.timedelta(days=v)
    elif kind == "long" and t.get("logicalType") == "timestamp-micros" and isinstance(v, int):
        v = EPOCH + v * MICRO
    elif kind == "array":
        v = [from_default(t["items"], x, names) for x in v]
    elif kind == "map":
        v = {k: from_default(t["values"], x, names) for k, x in v.items()}
    elif kind == "record" and isinstance(v, dict):
        v = {f["name"]: from_default(f["type"], v.get(f["name"], f.get("default")), names) for f in t["fields"]}
    return v


def fits_default(t, v, names):
    kind = t if isinstance(t, str) else t["type"]
    kind = names[kind]["type"] if kind in names else kind
    return {"null": v is None, "string": isinstance(v, str), "bytes": isinstance(v, str), "enum": isinstance(v, str),
            "boolean": isinstance(v, bool), "record": isinstance(v, dict), "map": isinstance(v, dict),
            "array": isinstance(v, list)}.get(kind, isinstance(v, (int, float)) and not isinstance(v, bool))


def micros(v):
    if isinstance(v, datetime.datetime):
        return (v.replace(tzinfo=None) - EPOCH) // MICRO
    return (datetime.datetime.combine(EPOCH, v) - EPOCH) // MICRO


def numeric(v):
    sign, digits, exponent = decimal.Decimal(v).as_tuple()
    scale = -exponent
    text = "".join(map(str, digits)).rjust(scale + 1, "0")
    whole, fraction = text[:len(text) - scale], text[len(text) - scale:]
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int((whole + fraction)[i:i + 4]) for i in range(0, len(whole + fraction), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        weight, sign = 0, 0
    return struct.pack(">hhHh%dh" % len(groups), len(groups), weight, 0x4000 if sign else 0, scale, *groups)


def array(sql, v):
    element = sql[:-2]
    oid = OID[element]
    if not v:
        return struct.pack(">iii", 0, 0, oid)
    out = struct.pack(">iiiii", 1, int(None in v), oid, len(v), 1)
    for item in v:
        out += struct.pack(">i", -1) if item is None else sized(encode(element, item))
    return out


def sized(b):
    return struct.pack(">i", len(b)) + b


def encode(sql, v):
    if sql.endswith("[]"):
        if isinstance(v, bytes):
            v = list(struct.unpack("<%df" % (len(v) // 4), v))
        return array(sql, v)
    base = sql.split("(")[0]
    if base in ("smallint", "integer", "bigint"):
        if isinstance(v, datetime.datetime):
            v = micros(v)
        return struct.pack({"smallint": ">h", "integer": ">i", "bigint": ">q"}[base], v)
    if base == "boolean":
        return bytes([v])
    if base in ("real", "double precision"):
        return struct.pack(">f" if base == "real" else ">d", v)
    if base in ("text", "varchar"):
        return v.encode()
    if base == "bytea":
        return v.encode() if isinstance(v, str) else v
    if base == "jsonb":
        return b"\1" + v.encode()
    if base == "uuid":
        return v if isinstance(v, bytes) else (v if isinstance(v, uuid.UUID) else uuid.UUID(v)).bytes
    if base == "date":
        return struct.pack(">i", (v - datetime.date(2000, 1, 1)).days)
    if base == "time":
        return struct.pack(">q", micros(v))
    if base in ("timestamp", "timestamptz"):
        return struct.pack(">q", micros(v) - micros(datetime.datetime(2000, 1, 1)))
    if base == "interval":
        months, days, millis = struct.unpack("<III", v)
        return struct.pack(">qii", millis * 1000, days, months)
    if base == "numeric":
        return numeric(v)
    if base in ("vector", "halfvec"):
        if isinstance(v, bytes):
            v = struct.unpack("<%df" % (len(v) // 4), v)
        return struct.pack(">hh%d%s" % (len(v), "f" if base == "vector" else "e"), len(v), 0, *v)
    raise ValueError(sql)


def to_json(v):
    """As the worker puts nested values into jsonb: docs/SCHEMAS.md."""
    if isinstance(v, bytes):
        return v.decode("latin-1")
    if isinstance(v, dict):
        return {k: to_json(x) for k, x in v.items()}
    if isinstance(v, list):
        return [to_json(x) for x in v]
    if isinstance(v, decimal.Decimal):
        return float(v)
    if isinstance(v, datetime.datetime):
        return v.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(v, (datetime.date, uuid.UUID)):
        return str(v)
    return v


def order_columns(reader):
    fields = {f["name"]: f for f in reader["fields"] if f.get("pg", {}).get("column") is not False}
    keys = reader["pg"]["key"]
    return [fields[k] for k in keys] + [f for n, f in fields.items() if n not in keys]


def column(field, value, names):
    out = {"name": field["name"]}
    sql = sql_type(field, names)
    if value is None:
        out["null"] = True
    elif sql == "jsonb" and unwrap(field["type"]) != "string":
        out["json"] = to_json(value)
    else:
        out["hex"] = encode(sql, value).hex()
    return out


def case(name, writer, reader, value, delete=False):
    buf = io.BytesIO()
    fastavro.schemaless_writer(buf, fastavro.parse_schema(json.loads(json.dumps(writer))), value)
    buf.seek(0)
    datum = buf.getvalue().hex()
    try:
        got = fastavro.schemaless_reader(buf, fastavro.parse_schema(json.loads(json.dumps(writer))),
                                         fastavro.parse_schema(json.loads(json.dumps(reader))))
    except fastavro.read.SchemaResolutionError:
        return {"name": name, "writer": writer, "reader": reader, "datum": datum, "refused": True}
    names = {}
    collect(reader, names)
    columns = []
    for field in order_columns(reader):
        v = got[field["name"]]
        if "default" in field and v == field["default"]:
            v = from_default(field["type"], v, names)
        if delete and field["name"] not in reader["pg"]["key"] and field["name"] != reader["pg"].get("version"):
            v = None
        columns.append(column(field, v, names))
    return {"name": name, "writer": writer, "reader": reader, "datum": datum, "delete": delete,
            "columns": columns}


def record(fields, name="R", **more):
    return {"type": "record", "name": name, **more, "fields": [{"name": "k", "type": "long"}] + fields}


def table(fields, name="R", pg=None, **more):
    return record(fields, name, pg={"table": "t", "key": ["k"], **(pg or {})}, **more)


def f(name, type_, **more):
    return {"name": name, "type": type_, **more}


ENUM = {"type": "enum", "name": "Color", "symbols": ["RED", "GREEN", "BLUE"], "default": "GREEN"}
FIXED = {"type": "fixed", "name": "Four", "size": 4}
POINT = {"type": "record", "name": "Point", "fields": [f("x", "int"), f("y", "int", default=-7)]}
NODE = {"type": "record", "name": "Node", "fields": [f("v", "int"), f("next", ["null", "Node"], default=None)]}


def defaults():
    fields = [
        f("b", "boolean", default=True), f("i", "int", default=-3), f("l", "long", default=1 << 40),
        f("fl", "float", default=1.5), f("d", "double", default=-0.1), f("s", "string", default="gr\u00fc\u00df \"x\""),
        f("by", "bytes", default="\u00ff\u0000a"), f("e", ENUM, default="BLUE"), f("fx", FIXED, default="\u0001\u00fe\u0080z"),
        f("a", {"type": "array", "items": "string"}, default=["x", ""]),
        f("ai", {"type": "array", "items": "int"}, default=[]),
        f("m", {"type": "map", "values": "long"}, default={"one": 1}),
        f("r", POINT, default={"x": 4}), f("r2", "Point", default={"x": 4, "y": 5}),
        f("n", ["null", "string"], default=None), f("u", ["string", "null"], default="first"),
        f("date", {"type": "int", "logicalType": "date"}, default=20000),
        f("ts", {"type": "long", "logicalType": "timestamp-micros"}, default=1700000000123456),
        f("dec", {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}, default="\u00ff\u0085"),
        f("v", {"type": "array", "items": "float"}, default=[0.5, -2], pg={"type": "vector(2)"}),
        f("j", "string", default="{\"a\": [1]}", pg={"type": "jsonb"}),
        f("ar", {"type": "array", "items": "Point"}, default=[{"x": 1}, {"x": 2, "y": 3}]),
        f("node", ["null", NODE], default=None),
    ]
    yield case("defaults of every type", record([]), table(fields), {"k": 1})
    yield case("defaults, the key among the missing", {"type": "record", "name": "R", "fields": []},
               {"type": "record", "name": "R", "pg": {"table": "t", "key": ["k"]},
                "fields": [f("k", "string", default="none")]}, {})
    yield case("a default counts only where the writer has no such field", record([f("i", "int")]),
               table([f("i", "int", default=5)]), {"k": 1, "i": 6})
    nested_writer = {"type": "record", "name": "In", "fields": [f("x", "int")]}
    nested_reader = {"type": "record", "name": "In", "fields": [
        f("added", "string", default="new"), f("x", "long"), f("list", {"type": "array", "items": "int"}, default=[1, 2]),
        f("null", ["null", "int"], default=None)]}
    yield case("defaults inside records, arrays and maps",
               record([f("r", nested_writer), f("a", {"type": "array", "items": "In"}),
                       f("m", {"type": "map", "values": "In"})]),
               table([f("r", nested_reader), f("a", {"type": "array", "items": "In"}),
                      f("m", {"type": "map", "values": "In"})]),
               {"k": 1, "r": {"x": 1}, "a": [{"x": 2}, {"x": 3}], "m": {"one": {"x": 4}}})


def aliases():
    yield case("aliases of fields", record([f("old", "int"), f("older", "string")]),
               table([f("new", "int", aliases=["old"]), f("s", "string", aliases=["nothing", "older"])]),
               {"k": 1, "old": 7, "older": "x"})
    yield case("an alias of the event's record", record([f("i", "int")], name="OldName"),
               table([f("i", "int")], name="NewName", aliases=["OldName"]), {"k": 1, "i": 7})
    yield case("aliases of nested records, enums, fixed and their fields",
               record([f("p", {"type": "record", "name": "P", "fields": [f("a", "int")]}),
                       f("e", {"type": "enum", "name": "E", "symbols": ["A", "B"]}),
                       f("x", {"type": "fixed", "name": "X", "size": 2})]),
               table([f("p", {"type": "record", "name": "Q", "aliases": ["P"], "fields": [f("b", "int", aliases=["a"])]}),
                      f("e", {"type": "enum", "name": "F", "aliases": ["E"], "symbols": ["B", "A"]}),
                      f("x", {"type": "fixed", "name": "Y", "aliases": ["X"], "size": 2})]),
               {"k": 1, "p": {"a": 3}, "e": "B", "x": b"\1\2"})
    yield case("an aliased field in another order, with promotion",
               record([f("a", "int"), f("b", "float")]),
               table([f("d", "double", aliases=["b"]), f("c", "long", aliases=["a"])]), {"k": 2, "a": -5, "b": 0.25})


def promotions():
    numbers = ["int", "long", "float", "double"]
    for w, name in enumerate(numbers):
        for to in numbers[w:]:
            for v in [0, -1, 2147483647, -2147483648] if name in ("int", "long") else [0.0, -1.5, 3.0e38]:
                yield case("%s %r to %s" % (name, v, to), record([f("x", name)]), table([f("x", to)]), {"k": 1, "x": v})
    yield case("long to float and double beyond their precision", record([f("x", "long"), f("y", "long")]),
               table([f("x", "float"), f("y", "double")]), {"k": 1, "x": 123456789012345678, "y": 9007199254740993})
    yield case("string to bytes and back", record([f("s", "string"), f("b", "bytes")]),
               table([f("s", "bytes"), f("b", "string")]), {"k": 1, "s": "h\u00e9", "b": "w\u00f6".encode()})
    yield case("in arrays and maps", record([f("a", {"type": "array", "items": "int"}), f("m", {"type": "map", "values": "int"}),
                                             f("v", {"type": "array", "items": "float"})]),
               table([f("a", {"type": "array", "items": "double"}), f("m", {"type": "map", "values": "float"}),
                      f("v", {"type": "array", "items": "double"}, pg={"type": "vector(3)"})]),
               {"k": 1, "a": [1, 2, 3], "m": {"x": 7}, "v": [0.5, 1.25, -3]})


def enums():
    reader = table([f("e", ENUM)])
    for symbol in ["BLUE", "PINK", "RED", "BLACK"]:
        writer = record([f("e", {"type": "enum", "name": "Color", "symbols": ["PINK", "BLUE", "BLACK", "RED"]})])
        yield case("enum %s, in another order, unknown ones to the default" % symbol, writer, reader,
                   {"k": 1, "e": symbol})
    yield case("enum in an array", record([f("e", {"type": "array", "items": {"type": "enum", "name": "Color", "symbols": [
        "PINK", "BLUE"]}})]), table([f("e", {"type": "array", "items": ENUM})]), {"k": 1, "e": ["PINK", "BLUE"]})
    op = {"type": "enum", "name": "Op", "symbols": ["UPSERT", "DELETE"], "default": "UPSERT"}
    deleting = table([f("op", op, default="UPSERT", pg={"column": False}), f("v", "string"), f("n", "long")],
                     pg={"version": "n", "delete": {"field": "op", "symbol": "DELETE"}})
    writer = record([f("v", "string"), f("op", {"type": "enum", "name": "Op", "symbols": ["MERGE", "DELETE", "UPSERT"]}),
                     f("n", "int")])
    yield case("delete, by symbol and not by index", writer, deleting, {"k": 3, "op": "DELETE", "v": "x", "n": 9}, True)
    yield case("an operation that the reader does not know", writer, deleting, {"k": 3, "op": "MERGE", "v": "x", "n": 9})
    yield case("a writer without the field that says DELETE", record([f("v", "string"), f("n", "long")]), deleting,
               {"k": 3, "v": "x", "n": 9})


def unions():
    yield case("a value into a union", record([f("x", "int"), f("y", "string")]),
               table([f("x", ["null", "int"]), f("y", ["string", "null"])]), {"k": 1, "x": 5, "y": "s"})
    yield case("a value into a union by promotion", record([f("x", "int")]), table([f("x", ["null", "double"])]),
               {"k": 1, "x": 5})
    for v in [None, "s", 7]:
        yield case("union of three, other order: %r" % (v,), record([f("x", ["null", "string", "int"])]),
                   table([f("x", ["long", "null", "string"], pg={"type": "jsonb"})]), {"k": 1, "x": v})
    yield case("a union into a value", record([f("x", ["null", "int"]), f("y", ["int", "long"])]),
               table([f("x", ["null", "long"]), f("y", "long")]), {"k": 1, "x": 1 << 20, "y": 1 << 33})
    yield case("a union of records", record([f("x", [{"type": "record", "name": "A", "fields": [f("a", "int")]},
                                                      {"type": "record", "name": "B", "fields": [f("b", "string")]}])]),
               table([f("x", ["null", {"type": "record", "name": "B", "fields": [f("b", "string"), f("c", "int", default=1)]},
                               {"type": "record", "name": "A", "fields": [f("a", "long")]}], pg={"type": "jsonb"})]),
               {"k": 1, "x": {"b": "text"}})
    yield case("null elements", record([f("a", {"type": "array", "items": ["null", "int"]})]),
               table([f("a", {"type": "array", "items": ["null", "long"]})]), {"k": 1, "a": [None, 3, None]})


def by_datum():
    """What a branch or a symbol that the reader does not have does to a datum that has it, and to one that has not."""
    some = record([f("x", ["null", "int", "string"])])
    for v in [None, 5, "s"]:
        yield case("a branch that the reader lacks: %r" % (v,), some, table([f("x", ["null", "long"])]), {"k": 1, "x": v})
        yield case("a branch that one type lacks: %r" % (v,), some, table([f("x", ["string", "null"])]), {"k": 1, "x": v})
    for v in [None, "s"]:
        yield case("null alone resolves: %r" % (v,), record([f("x", ["null", "string"])]), table([f("x", ["null", "int"])]),
                   {"k": 1, "x": v})
    for v in [7, "s"]:
        yield case("a union into one type: %r" % (v,), record([f("x", ["int", "string"])]), table([f("x", "double")]),
                   {"k": 1, "x": v})
    plain = {k: v for k, v in ENUM.items() if k != "default"}
    more = {"type": "enum", "name": "Color", "symbols": ["PINK", "BLUE", "BLACK", "RED"]}
    for symbol in more["symbols"]:
        yield case("symbol %s, no default" % symbol, record([f("e", more)]), table([f("e", plain)]), {"k": 1, "e": symbol})
        yield case("symbol %s inside a record" % symbol,
                   record([f("r", {"type": "record", "name": "In", "fields": [f("e", more)]})]),
                   table([f("r", {"type": "record", "name": "In", "fields": [f("e", plain)]})]), {"k": 1, "r": {"e": symbol}})
        yield case("symbol %s in a union" % symbol, record([f("e", ["null", more, "string"])]), table([f("e", ["null", plain])]),
                   {"k": 1, "e": symbol})
    op = {"type": "enum", "name": "Op", "symbols": ["UPSERT", "DELETE"]}
    deleting = table([f("op", op, pg={"column": False}), f("n", "long")],
                     pg={"delete": {"field": "op", "symbol": "DELETE"}})
    for symbol in ["MERGE", "DELETE", "UPSERT"]:
        yield case("operation %s, no default" % symbol,
                   record([f("op", {"type": "enum", "name": "Op", "symbols": ["MERGE", "DELETE", "UPSERT"]}), f("n", "int")]),
                   deleting, {"k": 3, "op": symbol, "n": 9}, symbol == "DELETE")
    items = ["null", "int", "boolean"]
    for v in [[], [1, None], [1, True]]:
        yield case("array of a union: %r" % (v,), record([f("a", {"type": "array", "items": items})]),
                   table([f("a", {"type": "array", "items": ["null", "long"]})]), {"k": 1, "a": v})
        m = {str(i): x for i, x in enumerate(v)}
        yield case("map of a union: %r" % (m,), record([f("m", {"type": "map", "values": items})]),
                   table([f("m", {"type": "map", "values": ["null", "long"]})]), {"k": 1, "m": m})
    a, b = {"type": "record", "name": "A", "fields": [f("a", "int")]}, {"type": "record", "name": "B", "fields": [f("b", ["int", "string"])]}
    for v in [("A", {"a": 1}), ("B", {"b": 2}), ("B", {"b": "x"})]:
        yield case("unions in unions: %r" % (v,), record([f("x", [a, b])]),
                   table([f("x", ["null", {"type": "record", "name": "B", "fields": [f("b", "long")]}])]), {"k": 1, "x": v})
    old = {"type": "record", "name": "Node", "fields": [f("v", ["int", "string"]), f("next", ["null", "Node", "boolean"])]}
    new = {"type": "record", "name": "Node", "fields": [f("v", "long"), f("next", ["null", "Node"])]}
    for v in [{"v": 1, "next": {"v": 2, "next": None}}, {"v": 1, "next": {"v": "x", "next": None}}, {"v": 1, "next": {"v": 2, "next": True}}]:
        yield case("a list of unions: %r" % (v,), record([f("l", old)]), table([f("l", new)]), {"k": 1, "l": v})
    yield case("vectors of a union", record([f("v", {"type": "array", "items": ["null", "float", "int"]}),
                                             f("h", {"type": "array", "items": ["float", "double"]})]),
               table([f("v", {"type": "array", "items": "float"}, pg={"type": "vector(3)"}),
                      f("h", {"type": "array", "items": "double"}, pg={"type": "halfvec(2)"})]),
               {"k": 1, "v": [0.5, 2, -1.25], "h": [0.5, 1.5]})


def types():
    """A union of records, one of them the stream's; another record altogether."""
    note = record([f("x", "int")], name="Note", namespace="t")
    other = {"type": "record", "name": "Other", "namespace": "t", "fields": [f("x", "int")]}
    reader = table([f("x", "long")], name="Note", namespace="t")
    for v in [("t.Note", {"k": 1, "x": 2}), ("t.Other", {"x": 3})]:
        yield case("two records: %s" % v[0], [note, other], reader, v)
        yield case("null and two records: %s" % v[0], ["null", other, note], reader, v)
        yield case("record %s alone" % v[0], note if v[0] == "t.Note" else other, reader, v[1])
    yield case("null of a union of records", ["null", note], reader, None)
    yield case("by an alias, in a union", [other, record([f("x", "int")], name="Old", namespace="u")],
               table([f("x", "long")], name="Note", namespace="t", aliases=["u.Old"]), ("u.Old", {"k": 4, "x": 5}))
    yield case("in another namespace", record([f("x", "int")], name="Note", namespace="u"), reader, {"k": 1, "x": 2})


def removed():
    junk = [f("j1", {"type": "array", "items": {"type": "map", "values": ["null", "string", FIXED]}}),
            f("j2", NODE), f("j3", {"type": "map", "values": {"type": "array", "items": "double"}}), f("j4", ENUM),
            f("j5", ["null", "boolean", "bytes"]), f("j6", "null"), f("j7", "float")]
    value = {"j1": [{"a": "x", "b": None, "c": b"abcd"}, {}], "j2": {"v": 1, "next": {"v": 2, "next": None}},
             "j3": {"m": [1.0, 2.0], "n": []}, "j4": "RED", "j5": b"zz", "j6": None, "j7": 1.0}
    yield case("removed fields of every kind, before and behind", record(junk[:4] + [f("x", "int")] + junk[4:]),
               table([f("x", "int")]), {"k": 1, "x": 42, **value})
    yield case("removed from nested records",
               record([f("r", {"type": "array", "items": {"type": "record", "name": "In", "fields": junk + [f("x", "int")]}})]),
               table([f("r", {"type": "array", "items": {"type": "record", "name": "In", "fields": [f("x", "int")]}})]),
               {"k": 1, "r": [{"x": 1, **value}, {"x": 2, **value}]})
    yield case("the key last", {"type": "record", "name": "R", "fields": [f("a", "string"), f("b", "string"), f("k", "int")]},
               {"type": "record", "name": "R", "pg": {"table": "t", "key": ["k", "b"]},
                "fields": [f("b", "string"), f("a", "string"), f("k", "long")]}, {"a": "x", "b": "y", "k": 1})


def lists():
    new = {"type": "record", "name": "Node", "fields": [f("next", ["null", "Node"], default=None), f("v", "long"),
                                                        f("tag", "string", default="t")]}
    yield case("a list whose record grew", record([f("l", NODE)]), table([f("l", new)]),
               {"k": 1, "l": {"v": 1, "next": {"v": 2, "next": {"v": 3, "next": None}}}})


def logical(kind, what, **more):
    return {"type": kind, "logicalType": what, **more}


def logicals():
    day = datetime.date(1969, 12, 31)
    utc = datetime.timezone.utc
    late = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, utc)
    early = datetime.datetime(1, 1, 1, 0, 0, 0, 1, utc)
    fields = [f("d", logical("int", "date")), f("tm", logical("int", "time-millis")), f("tu", logical("long", "time-micros")),
              f("ms", logical("long", "timestamp-millis")), f("us", logical("long", "timestamp-micros")),
              f("lms", logical("long", "local-timestamp-millis")), f("lus", logical("long", "local-timestamp-micros")),
              f("u", logical("string", "uuid"))]
    value = {"k": 1, "d": day, "tm": datetime.time(23, 59, 59, 999000), "tu": datetime.time(0, 0, 0, 1), "ms": late, "us": early,
             "lms": datetime.datetime(1970, 1, 1), "lus": datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
             "u": uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")}
    yield case("times and uuid", record(fields), table(fields), value)
    yield case("milliseconds read as microseconds and back",
               record([f("a", logical("long", "timestamp-millis")), f("b", logical("int", "time-millis"))]),
               table([f("a", logical("long", "timestamp-micros")), f("b", logical("long", "time-micros"))]),
               {"k": 1, "a": late.replace(microsecond=123000), "b": datetime.time(1, 2, 3, 456000)})
    for text in ["0.00", "0.01", "-0.01", "12345.67", "-99999999.99", "10000.00", "0.10", "-1.28", "1.28", "327.68"]:
        v = decimal.Decimal(text)
        types = [logical("bytes", "decimal", precision=10, scale=2),
                 logical("fixed", "decimal", precision=10, scale=2, name="D", size=6)]
        yield case("decimal " + text, record([f("b", types[0]), f("x", types[1])]), table([f("b", types[0]), f("x", types[1])]),
                   {"k": 1, "b": v, "x": v})
    for scale in range(0, 10):
        t = logical("bytes", "decimal", precision=30, scale=scale)
        yield case("decimal of scale %d" % scale, record([f("b", t)]), table([f("b", t)]),
                   {"k": 1, "b": decimal.Decimal(-123456789012345678901234567890).scaleb(-scale)})
    fixed = [f("i", logical("fixed", "duration", name="I", size=12))]
    yield case("duration", record(fixed), table(fixed), {"k": 1, "i": struct.pack("<III", 14, 40, 4294967295)})
    nested = [f("r", {"type": "record", "name": "L", "fields": [f("us", logical("long", "timestamp-micros")),
                                                               f("d", logical("int", "date")), f("b", "bytes")]})]
    yield case("times and bytes inside jsonb", record(nested), table(nested),
               {"k": 1, "r": {"us": late, "d": day, "b": b"\1\x7f\x80\xff\"\\"}})


def vectors():
    floats = {"type": "array", "items": "float"}
    v = [0.5, -1.0, 65504.0, 6.1e-5]
    packed = struct.pack("<4f", *v)
    fields = [f("a", floats, pg={"type": "vector(4)"}), f("b", "bytes", pg={"type": "vector(4)"}),
              f("c", {"type": "fixed", "name": "V", "size": 16}, pg={"type": "vector(4)"}),
              f("h", floats, pg={"type": "halfvec(4)"}), f("r", floats, pg={"type": "real[]"}),
              f("rb", "bytes", pg={"type": "real[]"}), f("e", floats, pg={"type": "real[]"}),
              f("d", {"type": "array", "items": "double"}, pg={"type": "halfvec(4)"}), f("n", ["null", floats])]
    yield case("vectors in every form", record(fields), table(fields),
               {"k": 1, "a": v, "b": packed, "c": packed, "h": v, "r": v, "rb": packed, "e": [], "d": v, "n": None})
    types = [("boolean", [True, False]), ("int", [1, -1]), ("long", [1 << 40]), ("string", ["", "x,{}\"", "\u00e9"]),
             ("bytes", [b"", b"\0\1"]), ("double", [0.1])]
    for t, values in types:
        a = [f("a", {"type": "array", "items": t})]
        yield case("array of " + t, record(a), table(a), {"k": 1, "a": values})


def shipped():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../schemas/memory_event.avsc"), encoding="utf-8") as file:
        reader = json.load(file)
    names = {x["name"]: x for x in reader["fields"]}
    old = ["op", "event_time", "namespace", "key", "value", "embedding", "metadata"]
    late = datetime.datetime(2026, 1, 31, 12, 30, 0, 125000, datetime.timezone.utc)
    value = {"op": "UPSERT", "event_time": late, "namespace": "ns", "key": "k1", "value": "text",
             "embedding": [i / 384 for i in range(384)], "metadata": "{\"a\": 1}"}
    writer = {k: v for k, v in reader.items() if k in ("type", "name", "namespace")}
    writer["fields"] = [{k: v for k, v in names[n].items() if k in ("name", "type")} for n in old]
    yield case("memory events of an older writer", writer, reader, value)
    yield case("memory event, delete", writer, reader, {**value, "op": "DELETE", "embedding": None}, True)


def main():
    cases = []
    for group in (defaults, aliases, promotions, enums, unions, by_datum, types, removed, lists, logicals, vectors, shipped):
        cases += group()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")
    with open(path, "w", encoding="ascii") as out:
        out.write("[\n" + ",\n".join(json.dumps(c, sort_keys=True) for c in cases) + "\n]\n")
    print("%d cases, fastavro %s" % (len(cases), fastavro.__version__))


if __name__ == "__main__":
    main()
