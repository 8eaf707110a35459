"""What computed a run: the commit, the versions of packages and the machine."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lib.data.sources import ROOT
from lib.method import gpus

VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # of x86, the best first


@cache
def commit() -> str:
    """The checkout's commit, with '+' if tracked files differ from it; 'unknown' outside a checkout."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        clean = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "lib", "notebooks"]).returncode == 0
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head if clean else f"{head}+"


def provenance() -> dict:
    """What computed a run: not part of its key, but needed to understand a difference."""
    packages = ("torch", "transformers", "tokenizers", "numpy", "pandas", "pyarrow")
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages} | gpus.stack(),
        "processor": processor(),
        "device": "cuda" if gpus.name() else "cpu",
    }


@cache
def processor() -> str:
    """Name of the GPU if there is one, else of the CPU and the best of its vector instructions that matter here."""
    if gpu := gpus.name():
        return gpu
    name, flags = platform.processor() or platform.machine(), ()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        name, flags = facts.get("model name", name), facts.get("flags", "").split()
    return ", ".join([name, *[flag for flag in VECTORS if flag in flags][:1]])
