"""examples.py CHART FILE...: checks that the files of deploy/examples fit together.

CHART is what the chart renders from their values.yaml. The topics are those of its streams; the Kafka user may describe and read just
these, and read the group; the workers' database role exists, is the one in the DSN, and is not the migration's; the secrets that the pods
mount are those that Strimzi, CloudNativePG or the instructions make.
"""
import configparser
import pathlib
import sys
import urllib.parse

import yaml


def load(files):
    return [thing for file in files for thing in yaml.safe_load_all(pathlib.Path(file).read_text()) if thing and "kind" in thing]


def of_kind(things, kind):
    return [thing for thing in things if thing["kind"] == kind]


def rights(user):
    return {
        (acl["resource"]["type"], acl["resource"]["name"], operation)
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }


def secrets(things):
    for thing in things:
        spec = thing.get("spec", {}).get("template", {}).get("spec") or thing.get("spec", {})
        for volume in spec.get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                if "secret" in source:
                    yield source["secret"]["name"]


def main():
    chart, examples = load(sys.argv[1:2]), load(sys.argv[2:])
    ini = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    ini.read_string(next(c["data"]["memingest.ini"] for c in of_kind(chart, "ConfigMap") if not c["metadata"]["name"].endswith("migrate")))
    topics = {ini[section]["topic"] for section in ini.sections() if section.startswith("stream.")}
    group, dsn = ini["kafka"]["group.id"], urllib.parse.urlsplit(ini["postgres"]["dsn"])
    user, cluster = of_kind(examples, "KafkaUser")[0], of_kind(examples, "Cluster")[0]
    name, kafka = cluster["metadata"]["name"], user["metadata"]["labels"]["strimzi.io/cluster"]
    initdb, roles = cluster["spec"]["bootstrap"]["initdb"], cluster["spec"]["managed"]["roles"]
    made = {f"{name}-app", f"{name}-ca", f"{kafka}-cluster-ca-cert", user["metadata"]["name"], roles[0]["passwordSecret"]["name"]}
    auth = of_kind(examples, "TriggerAuthentication")[0]
    trigger = of_kind(chart, "ScaledObject")[0]["spec"]["triggers"][0]
    facts = [
        ("topics", {topic["metadata"]["name"] for topic in of_kind(examples, "KafkaTopic")}, topics),
        ("rights", rights(user), {("topic", t, o) for t in topics for o in ("Describe", "Read")} | {("group", group, "Read")}),
        ("broker", ini["kafka"]["bootstrap.servers"], f"{kafka}-kafka-bootstrap:9093"),
        ("role", [role["name"] for role in roles], [dsn.username]),
        ("owner is another role", initdb["owner"] != dsn.username, True),
        ("host and database", (dsn.hostname, dsn.path), (f"{name}-rw", f"/{initdb['database']}")),
        ("database", [d["spec"]["name"] for d in of_kind(examples, "Database")], [initdb["database"]]),
        ("secrets of pods", set(secrets(chart)) - made, set()),
        ("secrets of KEDA", {ref["name"] for ref in auth["spec"]["secretTargetRef"]} - made, set()),
        ("KEDA's login", trigger["authenticationRef"]["name"], auth["metadata"]["name"]),
    ]
    wrong = [(what, have, want) for what, have, want in facts if have != want]
    for what, have, want in wrong:
        print(f"{what}: {have} instead of {want}")
    print(f"{len(facts)} facts, {len(wrong)} wrong")
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
