"""What is known of the libraries that a program loads, for bills of materials (CycloneDX 1.5): from the loader, from dpkg's database and
from Debian's copyright files. What is not known is left out, not guessed."""
import hashlib
import json
import os
import re
import subprocess
import sys

COMPILED_IN = ["uthash-dev"]  # headers alone: no shared object tells of them


def output(*command, **env):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}).stdout


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def loaded(program, path=""):
    """name -> file, of all that the loader brings in."""
    found = {}
    for line in output("ldd", program, LD_LIBRARY_PATH=path).splitlines():
        if "not found" in line:
            sys.exit(f"{program}: {line.strip()}")
        name = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if name:
            found[name[1] or name[2]] = os.path.realpath(name[2])
    return found


def needed(program):
    """Names of those that the program itself asks for."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-dW", program, LC_ALL="C"))


def owner(file):
    """The Debian package of a file; None: no package's. Where /lib is a link, dpkg may know the file by either name."""
    for name in (file, file.removeprefix("/usr")):
        asked = subprocess.run(["dpkg-query", "-S", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.split(": ")[0]
    return None


def licence_names(copyright_file):
    """The short names of a machine-readable copyright file, which Debian has for most."""
    with open(copyright_file, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if not text.startswith("Format:"):
        return []
    names = {name.strip() for name in re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE)}
    return [{"license": {"name": name}} for name in sorted(names)]


def distribution():
    """("debian", "debian-12")"""
    with open("/etc/os-release", encoding="utf-8") as f:
        system = dict(line.strip().replace('"', "").split("=", 1) for line in f if "=" in line)
    return system["ID"], f"{system['ID']}-{system.get('VERSION_ID', 'unknown')}"


def package(name):
    """Component of a Debian package."""
    fields = ["Package", "Version", "Architecture", "source:Package", "source:Version"]
    known = dict(zip(fields, output("dpkg-query", "-W", "-f", "\t".join(f"${{{f}}}" for f in fields), name).split("\t")))
    vendor, release = distribution()
    version = known["Version"].replace("+", "%2B").replace(":", "%3A")
    purl = f"pkg:deb/{vendor}/{known['Package']}@{version}?arch={known['Architecture']}&distro={release}"
    return {
        "type": "library", "bom-ref": purl, "name": known["Package"], "version": known["Version"], "purl": purl,
        "licenses": licence_names(f"/usr/share/doc/{known['Package']}/copyright"),
        "properties": [{"name": "debian:source", "value": f"{known['source:Package']} {known['source:Version']}"}],
    }


def document(program, version, components, direct):
    """direct: references of the components that the program itself asks for."""
    main = {
        "type": "application", "bom-ref": "memingest", "name": "memingest", "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [{"alg": "SHA-256", "content": sha256(program)}],
    }
    bill = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": main}, "components": components,
        "dependencies": [{"ref": "memingest", "dependsOn": direct}],
    }
    return json.dumps(bill, indent=1) + "\n"
