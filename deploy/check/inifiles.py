"""inifiles.py SCHEMAS OUT FILE...: takes the configurations out of rendered manifests, for memingest to judge.

Each ConfigMap with a memingest.ini becomes a folder OUT/FILE-NAME with that file, and in schemas/ the Avro schemas that lie beside it.
What the image has in /usr/share/memingest/schemas is looked for in SCHEMAS.
"""
import pathlib
import sys

import yaml


def main():
    shipped, out, *files = sys.argv[1:]
    for file in map(pathlib.Path, files):
        for thing in filter(None, yaml.safe_load_all(file.read_text())):
            data = thing.get("data", {})
            if thing["kind"] != "ConfigMap" or "memingest.ini" not in data:
                continue
            folder = pathlib.Path(out, f"{file.parent.name}-{file.stem}-{thing['metadata']['name']}")
            (folder / "schemas").mkdir(parents=True)
            text = data.pop("memingest.ini").replace("/usr/share/memingest/schemas", str(pathlib.Path(shipped).resolve()))
            (folder / "memingest.ini").write_text(text)
            for name, schema in data.items():
                (folder / "schemas" / name).write_text(schema)


if __name__ == "__main__":
    main()
