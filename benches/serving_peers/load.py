"""Load, by wrk: closed loops on a number of connections, on a core of its own."""

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass
class Load:
    """What a run of wrk saw. Times in milliseconds."""

    per_second: float
    p50: float
    p90: float
    p99: float
    worst: float
    n_requests: int
    n_errors: int


def milliseconds(text):
    """A time as wrk prints it."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * UNITS[unit]


def run(url, body, seconds, connections=32, core=1):
    """Posts one body for some seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        text = json.dumps(body)
        script.write(f'wrk.method = "POST"\nwrk.body = [==[{text}]==]\nwrk.headers["Content-Type"] = "application/json"\n')
        script.flush()
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
                   "--latency", "-s", script.name, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shares = {share: milliseconds(time) for share, time in re.findall(r"^\s+(\d+)%\s+(\S+) *$", out, re.M)}
    if "99" not in shares:
        raise RuntimeError(f"no answer in {seconds} s:\n{out}")
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    if sockets:
        errors += sum(map(int, sockets.groups()))
    return Load(
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        p50=shares["50"],
        p90=shares["90"],
        p99=shares["99"],
        worst=milliseconds(re.search(r"Latency\s+\S+\s+\S+\s+(\S+)", out)[1]),
        n_requests=int(re.search(r"(\d+) requests in", out)[1]),
        n_errors=errors,
    )
