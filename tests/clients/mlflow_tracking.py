"""Logs runs to an MLflow server on this machine, and reads them back: mlflow_tracking.py QUICKSTART RUNS."""

import contextlib
import filecmp
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import mlflow
import mlflow.models


@contextlib.contextmanager
def server(work, *options):
    """A tracking server that keeps runs in SQLite and takes artifacts in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{work}/mlflow.db", *options]
    log = open(work / "server.log", "a")
    # A group of its own: it starts workers.
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=work, start_new_session=True)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health").read()
                break
            assert process.poll() is None, (work / "server.log").read_text()
            time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def main(quickstart, runs):
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        root = work / "root"
        for _ in range(2):
            subprocess.run([quickstart, "--root", root], check=True, stdout=subprocess.DEVNULL)

        def ask(*what, fails=False):
            answer = subprocess.run([runs, "--root", root, *what], capture_output=True, text=True)
            assert (answer.returncode != 0) == fails, answer.stderr
            return answer.stderr if fails else answer.stdout

        records = json.loads(ask("list", "--json"))
        with server(work, "--artifacts-destination", str(work / "artifacts")) as url:
            client = mlflow.MlflowClient(tracking_uri=url)
            mlflow.set_tracking_uri(url)
            for record in records:
                logged = ask("mlflow", record["id"], "--server", url).split()[-1]
                # Once more: it is the same run.
                assert ask("mlflow", record["id"], "--server", url).split()[-1] == logged
                check(client, logged, record, root, work)
            [experiment] = client.search_experiments(filter_string="name = 'late-flights'")
            found = client.search_runs([experiment.experiment_id], order_by=["metrics.auc desc"])
            assert len(found) == len(records), found
            # Into an experiment of another name, which has characters of a URL.
            named = ask("mlflow", records[0]["id"], "--server", url, "--experiment", "flights & more/é").split()[-1]
            of = client.get_run(named).info.experiment_id
            assert client.get_experiment(of).name == "flights & more/é"
            refused = ask("mlflow", records[0]["id"], "--server", f"{url}/nowhere", fails=True)
            assert "404" in refused, refused
        unreachable = ask("mlflow", records[0]["id"], "--server", url, fails=True)
        assert "was not answered" in unreachable, unreachable
        # A server that leaves artifacts to its clients: all but the model is logged, and that is said.
        with server(work, "--no-serve-artifacts", "--default-artifact-root", str(work / "elsewhere")) as url:
            told = ask("mlflow", records[0]["id"], "--server", url, "--experiment", "without", fails=True)
            assert "--serve-artifacts" in told, told
            client = mlflow.MlflowClient(tracking_uri=url)
            [experiment] = client.search_experiments(filter_string="name = 'without'")
            [run] = client.search_runs([experiment.experiment_id])
            assert run.info.status == "FINISHED" and run.data.params["train"] == "logistic_regression"
    print(f"mlflow {mlflow.__version__} reads {len(records)} runs back")


def check(client, logged, record, root, work):
    """A run in MLflow is the one on record."""
    run = client.get_run(logged)
    assert run.info.status == "FINISHED", run.info
    assert run.info.start_time == record["started_ms"] and run.info.end_time >= run.info.start_time
    assert run.info.run_name == record["id"]
    assert run.data.tags["fourfold.run"] == record["id"]
    assert run.data.tags["fourfold.verdict"] == record["verdict"]
    params = run.data.params
    assert params["train"] == "logistic_regression" and params["train.version"].isdigit(), params
    assert params["train.seed"] == "0" and len(params) > 10, params
    for name, metric in record["metrics"].items():
        for suffix, field in [("", "value"), ("_lower", "lower"), ("_upper", "upper")]:
            wanted = metric.get(field)
            found = run.data.metrics.get(name + suffix)
            assert found == wanted, (name, suffix, found, wanted)
    assert run.data.metrics["auc"] > 0.62
    # The model's files, byte by byte.
    there = {item.path for item in client.list_artifacts(logged, "model")}
    assert there == {"model/MLmodel", "model/servable"}, there
    fetched = work / f"fetched-{logged}"
    fetched.mkdir()
    fetched = pathlib.Path(client.download_artifacts(logged, "model", str(fetched)))
    described = mlflow.models.Model.load(str(fetched))
    artifact = described.flavors["fourfold"]["artifact"]
    assert artifact == run.data.tags["fourfold.model"] and described.run_id == logged
    kept = root / "artifacts" / artifact
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    served = fetched / described.flavors["fourfold"]["data"]
    assert files == sorted(path.relative_to(served) for path in served.rglob("*") if path.is_file())
    assert all(filecmp.cmp(kept / path, served / path, shallow=False) for path in files), files


main(*sys.argv[1:])
