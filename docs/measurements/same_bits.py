"""Does code that was rewritten still give the same bits? Small runs of all that a study does, computed by both.

    git worktree add --detach /tmp/before COMMIT
    python docs/measurements/same_bits.py /tmp/before --hub FOLDER --what "…"

For every task and setting of the profile's plan, with the sizes of SMALL, and in bfloat16 for every way in which layers
compute: every file of the run must be the same. If all are, the rewrite is written down in lib/store/rewrites.json, and
finished runs of the code before count as done by the code since (lib.store.code.since). Takes an hour on a slow core;
with --precision the two can be computed apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from lib.protocol import Protocol, digest
from lib.store import code
from lib.store.files import read_json, write_json
from lib.sweeps.plans import PLANS

COMMON = {"seed": 0, "threads": 1}
SMALL = {
    "float32": COMMON | {"pool": 150, "validation_rows": 40, "rounds": 2, "query": 10, "start": 30},
    "bfloat16": COMMON | {"pool": 24, "validation_rows": 12, "rounds": 1, "query": 6, "start": 16, "epochs": 1},
}
LAYERS = ("task", "frozen", "frozen_dropout", "mc_dropout", "decoder", "restart")  # what bfloat16 has to do with
LAYERS_OF = ("sst2", "mnli")  # single texts and pairs
COMPUTE = """
import json, sys
from lib import active_learning
from lib.protocol import Protocol
for fields in json.load(open(sys.argv[1])):
    active_learning.run(Protocol(**fields), sys.argv[2])
"""


def settings(profile: str, hub: str, precision: str) -> list[Protocol]:
    """One small run of each kind that the notebooks need; in bfloat16 of each that its layers compute otherwise."""
    planned = [protocol for plan in PLANS.values() for protocol in plan(profile, hub=hub)]
    sizes = SMALL[precision]
    small = [
        replace(p, precision=precision, **{name: min(sizes[name], getattr(p, name)) for name in sizes}) for p in planned
    ]
    if precision == "float32":
        return list({digest(protocol.canonical()): protocol for protocol in small}.values())
    small = [protocol for protocol in small if protocol.strategy == "bald" and protocol.task in LAYERS_OF]
    return list({tuple(getattr(protocol, name) for name in LAYERS): protocol for protocol in small}.values())


def computed(checkout: Path, protocols: list[Protocol]) -> dict[str, dict]:
    """Name of each run → checksums of its files, computed by the code of a checkout with this one's packages."""
    with tempfile.TemporaryDirectory() as store:
        given = Path(store, "protocols.json")
        given.write_text(json.dumps([asdict(protocol) for protocol in protocols]))
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        subprocess.run([sys.executable, "-c", COMPUTE, given, store], cwd=checkout, env=environment, check=True)
        found = {path.parent.name: read_json(path) for path in Path(store).glob("*/DONE")}
    assert len(found) == len(protocols), "each is a run of its own"
    return found


def main(given) -> None:
    checkouts = given.before.resolve(), code.FOLDER.parent
    before, today = (code.reached(checkout / "lib") for checkout in checkouts)
    was = {name: what for name, what in before.items() if today.get(name) != what}
    now = {name: what for name, what in today.items() if before.get(name) != what}
    print(f"{len(was)} definitions are others or gone, {len(now)} are new or others", flush=True)
    runs = {
        precision: compared(checkouts, settings(given.profile, given.hub, precision)) for precision in given.precision
    }
    written = code.rewrites()
    if written and (written[-1]["was"], written[-1]["now"]) == (was, now):  # in another precision
        runs = written.pop()["runs"] | runs
    write_json(code.REWRITES, [*written, {"what": given.what, "runs": runs, "was": was, "now": now}])
    print(f"all are equal bit for bit: written down in {code.REWRITES.name}")


def compared(checkouts: tuple[Path, Path], protocols: list[Protocol]) -> int:
    """How many runs of both checkouts are equal: all, or the process ends here."""
    done = different = 0
    for task in dict.fromkeys(protocol.task for protocol in protocols):  # whose rows a process reads once
        some = [protocol for protocol in protocols if protocol.task == task]
        theirs, ours = (computed(checkout, some) for checkout in checkouts)
        for name, files in theirs.items():
            if others := [file for file in files if ours[name].get(file) != files[file]]:
                print(f"{name} differs in {', '.join(others)}")
                different += 1
        done += len(some)
        print(f"{protocols[0].precision}, {task}: {done} of {len(protocols)} runs, {different} differ", flush=True)
    if different:
        sys.exit("nothing is written down")
    return len(protocols)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="a checkout of the code as it was")
    parser.add_argument("--hub", required=True)
    parser.add_argument("--profile", default="minilm")
    parser.add_argument("--precision", nargs="+", choices=tuple(SMALL), default=list(SMALL))
    parser.add_argument("--what", required=True, help="what was rewritten, in one line")
    main(parser.parse_args())
