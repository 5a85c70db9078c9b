"""Kills the pipeline of the flights at random moments: kills/run.py QUICKSTART RUNS [KILLS] [SEED].

QUICKSTART and RUNS are the built examples. After each kill nothing in the root may be damaged. Whenever a run gets to its
end, the model that it has published must have the bytes of an undisturbed run's and be the only one, the records must say
which runs were killed, and nothing that killed writers left may stay.
"""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time


class Place:
    """A directory with roots, in which scratch files go too."""

    def __init__(self, work, quickstart, runs):
        self.work, self.quickstart, self.runs = work, quickstart, runs
        self.scratch = work / "scratch"
        self.scratch.mkdir()

    def start(self, root):
        return subprocess.Popen(
            [self.quickstart, "--root", str(root)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self.scratch)},
        )

    def finish(self, root):
        run = self.start(root)
        _, said = run.communicate()
        assert run.returncode == 0, said.decode()

    def ask(self, root, *what):
        answer = subprocess.run([self.runs, "--root", str(root), *what], stdout=subprocess.PIPE, text=True)
        assert answer.returncode == 0, (what, answer.stdout)
        return answer.stdout

    def check_whole(self, root):
        if (root / "root.json").exists():
            self.ask(root, "verify")

    def check_ended(self, root, wanted, killed):
        """A root in which some runs were killed, and the last got to its end."""
        assert published(root) == wanted, f"other bytes after {killed} kills"
        self.check_whole(root)
        states = [run["state"] for run in json.loads(self.ask(root, "list", "--json"))]
        assert states[-1] == "done", states
        # One that was killed before its record was written is not among them, one that had ended is done.
        assert set(states[:-1]) <= {"killed", "done"} and len(states) <= killed + 1, states
        self.ask(root, "gc", "--remove")
        left = [str(path) for path in root.rglob(".writing-*")]
        assert not left, left
        self.check_whole(root)


def published(root):
    versions = sorted(path.name for path in (root / "models" / "late-flights").iterdir() if path.name.isdigit())
    assert versions == ["1"], versions
    return (root / "models" / "late-flights" / "1" / "SHA256SUMS").read_text()


def main(quickstart, runs, kills="200", seed="2013"):
    random.seed(int(seed))
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        place = Place(work, quickstart, runs)
        began = time.monotonic()
        place.finish(work / "undisturbed")
        takes = time.monotonic() - began
        wanted = published(work / "undisturbed")
        killed = in_root = 0
        ended = collections.Counter()
        root = work / "root-0"
        while killed < int(kills):
            run = place.start(root)
            try:
                _, said = run.communicate(timeout=random.uniform(0, 0.6 * takes))
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.communicate()
                killed, in_root = killed + 1, in_root + 1
                place.check_whole(root)
                if killed % 20 == 0:
                    print(f"{killed} kills, {ended.total()} runs got to their end", flush=True)
                continue
            assert run.returncode == 0, said.decode()
            place.check_ended(root, wanted, in_root)
            ended[in_root] += 1
            in_root, root = 0, work / f"root-{ended.total()}"
        place.finish(root)
        place.check_ended(root, wanted, in_root)
        ended[in_root] += 1
        # A run that reads files removes what killed ones left where scratch files go.
        place.finish(work / "last")
        left = [path.name for path in place.scratch.glob(".fourfold-scratch-*")]
        assert not left, left
        print(f"{killed} kills, {ended.total()} runs got to their end, all with the same model, after", end=" ")
        print(", ".join(f"{kills} kills: {runs}" for kills, runs in sorted(ended.items())))


main(*sys.argv[1:])
