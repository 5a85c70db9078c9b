"""Checks the events of runs against the schemas that they name: openlineage_events.py QUICKSTART RUNS [SPEC].

Those below https://openlineage.io/spec are read from the directory SPEC, by their names, or fetched. Facets of our own need
our prefix and a URL.
"""

import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.request

import jsonschema
import referencing
import referencing.jsonschema

SPEC = "https://openlineage.io/spec/"


class Schemas:
    def __init__(self, directory):
        self.directory = directory and pathlib.Path(directory)
        self.registry = referencing.Registry(retrieve=self.retrieve)

    def retrieve(self, url):
        assert url.startswith(SPEC), url
        if self.directory is None:
            with urllib.request.urlopen(url) as answer:
                content = json.load(answer)
        else:
            name = url.rsplit("/", 1)[1]
            [path] = self.directory.rglob(name)
            content = json.loads(path.read_text())
        # Facets refer to the base of several versions, which all have what they refer to.
        return referencing.jsonschema.DRAFT202012.create_resource(content)

    def check(self, url, instance):
        """Against the definition that a URL names."""
        validator = jsonschema.Draft202012Validator(
            {"$ref": url},
            registry=self.registry,
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        validator.validate(instance)


def facets(event):
    """All facets with their names."""
    of = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    return [facet for owner in of for facet in owner.get("facets", {}).items()]


def check(schemas, event):
    assert event["schemaURL"].startswith(SPEC), event["schemaURL"]
    schemas.check(event["schemaURL"], event)
    # As a reader does that knows no definition of it: any of the events of the document.
    schemas.check(event["schemaURL"].split("#")[0], event)
    for name, facet in facets(event):
        if facet["_schemaURL"].startswith(SPEC):
            schemas.check(facet["_schemaURL"], facet)
        else:
            assert name.startswith("fourfold_") and facet["_schemaURL"].startswith("https://"), (name, facet)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes events in as servers of OpenLineage do."""

    taken = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 201 if self.path == "/api/v1/lineage" else 404
        if status == 201:
            self.taken.append((self.headers["authorization"], json.loads(body)))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(quickstart, runs, spec=None):
    schemas = Schemas(spec)
    # The check can fail.
    try:
        schemas.check(f"{SPEC}2-0-2/OpenLineage.json#/$defs/RunEvent", {"eventType": "START"})
        raise AssertionError("an event without a run is one")
    except jsonschema.ValidationError:
        pass
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work) / "root"
        for _ in range(2):
            subprocess.run([quickstart, "--root", root], check=True, stdout=subprocess.DEVNULL)
        ask = [runs, "--root", root]
        records = json.loads(subprocess.run([*ask, "list", "--json"], check=True, capture_output=True).stdout)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        n = 0
        for record in records:
            printed = subprocess.run([*ask, "openlineage", record["id"]], check=True, capture_output=True).stdout
            events = [json.loads(line) for line in printed.splitlines()]
            for event in events:
                check(schemas, event)
            assert {event["eventType"] for event in events} == {"START", "COMPLETE"}, events
            n += len(events)
            Collector.taken.clear()
            subprocess.run(
                [*ask, "openlineage", record["id"], "--post", url],
                check=True,
                env={"OPENLINEAGE_API_KEY": "s3cr3t"},
            )
            assert [event for _, event in Collector.taken] == events
            assert {token for token, _ in Collector.taken} == {"Bearer s3cr3t"}
        refused = subprocess.run(
            [*ask, "openlineage", records[0]["id"], "--post", f"{url}/elsewhere"], capture_output=True, text=True
        )
        assert refused.returncode != 0 and "404" in refused.stderr, refused.stderr
        server.shutdown()
    print(f"{n} events of {len(records)} runs are as the schemas of OpenLineage say, posted too")


main(*sys.argv[1:])
