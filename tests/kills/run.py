"""Kills the pipeline of the flights at random moments: kills/run.py QUICKSTART RUNS [KILLS] [SEED].

QUICKSTART and RUNS are the built examples. Whenever a run gets to its end, the model that it has published must have the
bytes of an undisturbed run's, be the only one, and nothing in its root may be damaged.
"""

import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time


def start(quickstart, root):
    return subprocess.Popen(
        [quickstart, "--root", str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def published(root):
    versions = sorted(path.name for path in (root / "models" / "late-flights").iterdir() if path.name.isdigit())
    assert versions == ["1"], versions
    return (root / "models" / "late-flights" / "1" / "SHA256SUMS").read_text()


def verify(runs, root):
    if (root / "root.json").exists():
        subprocess.run([runs, "--root", str(root), "verify"], check=True, stdout=subprocess.DEVNULL)


def main(quickstart, runs, kills="200", seed="2013"):
    random.seed(int(seed))
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        began = time.monotonic()
        run = start(quickstart, work / "undisturbed")
        assert run.wait() == 0, run.stderr.read().decode()
        takes = time.monotonic() - began
        wanted = published(work / "undisturbed")
        killed = ended = 0
        root = work / f"root-{ended}"
        while killed < int(kills):
            run = start(quickstart, root)
            try:
                run.wait(timeout=random.uniform(0, 0.6 * takes))
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
                killed += 1
                verify(runs, root)
                continue
            assert run.returncode == 0, run.stderr.read().decode()
            assert published(root) == wanted, f"other bytes after {killed} kills"
            verify(runs, root)
            ended += 1
            root = work / f"root-{ended}"
        run = start(quickstart, root)
        assert run.wait() == 0, run.stderr.read().decode()
        assert published(root) == wanted
        print(f"{killed} kills, {ended + 1} runs got to their end, all with the same model")


main(*sys.argv[1:])
