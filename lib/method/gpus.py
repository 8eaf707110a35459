"""This machine's GPUs: whether there are some, which one is this process's, what drives it, and when it is done."""

import fcntl
import itertools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")
SIGNS = ("/dev/nvidiactl", "/dev/dxg")  # of a driver, on Linux and in WSL: containers may lack nvidia-smi
held = {}  # number of this process's GPU → the locked file that says so to others


def has_driver() -> bool:
    """Whether there may be a GPU: asked without torch, which takes seconds to import."""
    return bool(shutil.which("nvidia-smi")) or any(Path(sign).exists() for sign in SIGNS)


def count() -> int:
    """GPUs that this process sees."""
    if not has_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def name() -> str:
    """What the GPU is called; empty without one."""
    if not count():
        return ""
    import torch

    return torch.cuda.get_device_name()


def stack() -> dict[str, str]:
    """Versions of what computes on the GPU; empty without one."""
    if not count():
        return {}
    import torch

    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", DRIVER.read_text("utf-8")) if DRIVER.exists() else None
    driver = found[1] if found else "unknown"
    return {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version()), "driver": driver}


def free() -> int:
    """Bytes of this process's GPU that nobody uses."""
    import torch

    return torch.cuda.mem_get_info()[0]


def wait() -> None:
    """Until the GPU has done what it was given: it computes while Python goes on, and a clock would count launches."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def take() -> None:
    """Choose this process's GPU, for as long as it lives: one that the fewest processes of this user hold.

    A locked file a GPU and share says so to the others, whatever started them; it is free again when they end.
    """
    import torch

    if (number := torch.cuda.device_count()) < 2:
        return
    if not held:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = visible if len(visible) == number else [str(gpu) for gpu in range(number)]
        place = Path(tempfile.gettempdir(), f"bert-bald-gpus-{os.getuid()}")
        place.mkdir(exist_ok=True)
        shares = ((share, gpu) for share in itertools.count() for gpu in range(number))
        for share, gpu in shares:
            file = open(place / f"{names[gpu].strip()}-{share}.lock", "w")  # noqa: SIM115, until the process ends
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            held[gpu] = file
            break
    torch.cuda.set_device(*held)  # of this thread


def lost(error: BaseException) -> bool:
    """Whether an error has ended this process's use of its GPU: whatever is tried there afterwards fails, too."""
    torch = sys.modules.get("torch")
    return bool(torch) and isinstance(error, torch.AcceleratorError)
