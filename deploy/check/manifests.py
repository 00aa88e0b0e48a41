"""manifests.py KUBERNETES CRDS FILE...: checks every object in rendered manifests against the schema of its kind.

Kinds of Kubernetes (version KUBERNETES, "1.37"): the API's own schemas, as the package kubernetes-validate has them, in the strict form
that refuses unknown fields. Custom resources: the CustomResourceDefinitions in the folders CRDS (with colons between), made just as
strict. A kind that has neither is an error. What needs a server (CEL rules, quotas, admission) is "make check-cluster"'s.

Prints the objects that are wrong, and how many there were; exit 1 if there are any, or none at all.
"""
import collections
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def strict(schema):
    """A schema of a CustomResourceDefinition as JSON Schema, without room for unknown fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if out.pop("x-kubernetes-int-or-string", False):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(out.get("properties"), dict) and not out.pop("x-kubernetes-preserve-unknown-fields", False):
        out.setdefault("additionalProperties", False)
    if out.pop("nullable", False) and "type" in out:
        out["type"] = [out["type"], "null"]
    return out


def custom_schemas(folders):
    schemas = {}
    for path in (path for folder in folders for path in sorted(pathlib.Path(folder).glob("*.yaml"))):
        for crd in yaml.safe_load_all(path.read_text()):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object", "required": ["name"]}}
                schemas[f'{spec["group"]}/{version["name"]}', spec["names"]["kind"]] = schema
    return schemas


def problems(thing, kubernetes, custom):
    schema = custom.get((thing["apiVersion"], thing["kind"]))
    if schema:
        for error in jsonschema.Draft202012Validator(schema).iter_errors(thing):
            yield f"{error.json_path}: {error.message}"
        return
    try:
        kubernetes_validate.validate(thing, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"no schema of {thing['apiVersion']} {thing['kind']}"


def main():
    kubernetes, folders, *files = sys.argv[1:]
    custom = custom_schemas(folders.split(":"))
    seen, bad = collections.Counter(), 0
    for file in files:
        for thing in filter(None, yaml.safe_load_all(pathlib.Path(file).read_text())):
            seen[thing["kind"]] += 1
            for problem in problems(thing, kubernetes, custom):
                bad += 1
                print(f"{file}: {thing['kind']} {thing['metadata']['name']}: {problem}")
    print(f"{seen.total()} objects of {len(seen)} kinds in {len(files)} files, {bad} problems")
    return bad > 0 or not seen


if __name__ == "__main__":
    sys.exit(main())
