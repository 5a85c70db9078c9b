"""Loads a retraining service for some seconds: python3 retrain.py PROGRAM SECONDS

Starts the program, waits for its first model, asks without pause on four connections until shortly before the program ends,
and fails if a request failed or fewer than two versions were swapped in. Prints what was counted."""

import http.client
import json
import subprocess
import sys
import threading
import time

program, seconds = sys.argv[1], int(sys.argv[2])
service = subprocess.Popen([program, str(seconds)], stdout=subprocess.PIPE, text=True)
end = time.monotonic() + seconds - 2
said = []
reader = threading.Thread(target=lambda: said.extend(service.stdout))
reader.start()
body = json.dumps({"hour": 19, "carrier": "UA"})
headers = {"content-type": "application/json"}


def ask(connection):
    connection.request("POST", "/late", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


while True:
    try:
        if ask(http.client.HTTPConnection("127.0.0.1", 3000, timeout=10))[0] == 200:
            break
    except OSError:
        pass
    assert time.monotonic() < end, "no model within the time"
    time.sleep(0.05)

counts = {}
answers = set()
slowest = [0.0]


def load():
    connection = http.client.HTTPConnection("127.0.0.1", 3000, timeout=10)
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            status, answer = ask(connection)
            answers.add(answer)
        except (OSError, http.client.HTTPException) as error:
            status = repr(error)
            connection.close()
        slowest[0] = max(slowest[0], time.monotonic() - started)
        counts[status] = counts.get(status, 0) + 1


threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
code = service.wait()
reader.join()
versions = [line for line in said if line.startswith("version ")]
others = [line.strip() for line in said if not line.startswith("version ")]
print(f"{counts} requests by status, {len(answers)} different answers, the slowest took {1000 * slowest[0]:.0f} ms")
print(f"{len(versions)} versions deployed, {len(others)} runs without: {sorted(set(others))[:3]}")
assert code == 0, code
assert set(counts) == {200}, counts
assert len(versions) >= 3 and len(answers) >= 2
