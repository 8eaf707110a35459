"""A stand-in for a GPU: tensors that say cuda:0, hold their values in CPU memory and refuse those that do not."""

import contextlib
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from lib.method import active_learning, gpus

CUDA = torch.device("cuda:0")
MOVES = ("_to_copy", "to", "copy_")  # what may see both devices
INDEXED = ("index", "index_put_", "index_put", "_index_put_impl_")  # whose indices may lie on the CPU
SYNCHRONISE = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero")  # Python waits for the value


class StandIn(torch.Tensor):
    @staticmethod
    def __new__(cls, held):
        options = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, held.shape, device="meta", **options)

    def __init__(self, held):
        self.held = held

    @property
    def device(self):
        """What Python sees; C++ sees torch's meta device, which it knows without CUDA."""
        return CUDA

    is_cuda, is_meta = True, False

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force=False):
        raise TypeError("can't convert cuda:0 device type tensor to numpy: copy the tensor to host memory first")

    def __repr__(self):
        return f"StandIn({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError(f"{function}: outside of the stand-in's mode")


class StandInDevice(TorchDispatchMode):
    """While it is entered, device="cuda" works. counts: synchronisations and copies from the CPU."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), function._schema.name.removeprefix("aten::")
        leaves = tree_flatten((args, kwargs))[0]
        there = any(isinstance(leaf, StandIn) for leaf in leaves)
        target = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
        onto = there if target is None else target.type in ("cuda", "meta")  # meta: C++ asks for the like
        if there and name not in MOVES:
            inspected = tree_flatten(args[0] if name in INDEXED else (args, kwargs))[0]
            for leaf in inspected:
                if isinstance(leaf, torch.Tensor) and not isinstance(leaf, StandIn) and leaf.ndim:
                    raise RuntimeError(f"{name}: all tensors should be on one device, found cpu and cuda:0")
        if name == "_fused_sdp_choice":
            return 0  # plain mathematics: the fused kernels are for real devices
        if name == "is_pinned":
            return False
        if name in ("pin_memory", "_pin_memory"):
            pinned = args[0].clone()
            pinned.is_pinned_here = True
            return pinned
        sent = name in MOVES and not there and onto
        self.counts["copies"] += sent
        if (
            (name in SYNCHRONISE and there)
            or (name in MOVES and there and not onto)
            or (sent and not (kwargs.get("non_blocking") and hasattr(args[0], "is_pinned_here")))
            or _length_is_asked(name, args, kwargs)
        ):
            self.counts["synchronisations"] += 1
        held, held_kwargs = tree_map(_held, (args, kwargs))
        found = function(*held, **held_kwargs)
        kept = _written(function, args, kwargs)
        if kept and found is not None:
            return kept[0] if len(kept) == 1 else tuple(kept)
        return tree_map(lambda leaf: _wrapped(leaf, onto), found)


def _written(function, args, kwargs) -> list:
    """Of an operation in place, what it was given to write to: it gives that back."""
    arguments = function._schema.arguments
    given = dict(zip((argument.name for argument in arguments), args, strict=False)) | kwargs
    names = [argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write]
    return [given[name] for name in names if name in given]


def _length_is_asked(name: str, args, kwargs) -> bool:
    """Whether the length of what comes out depends on values, for which Python must wait."""
    if name == "repeat_interleave":
        return isinstance(args[0], StandIn) and kwargs.get("output_size") is None
    if name in INDEXED:
        return any(isinstance(index, StandIn) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return False


def _held(leaf):
    """What the CPU computes with in its place."""
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.held if isinstance(leaf, StandIn) else leaf


def _wrapped(leaf, onto: bool):
    if not onto or not isinstance(leaf, torch.Tensor) or isinstance(leaf, StandIn):
        return leaf
    with torch.inference_mode(False):  # views of weights are made in inference, too
        return StandIn(leaf)


@contextlib.contextmanager
def stand_in_device(monkeypatch):
    """The loop's device is the stand-in while the block runs; → it."""
    monkeypatch.setattr(active_learning, "device", lambda: CUDA)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: None)
    monkeypatch.setattr(gpus, "free", lambda: 2**34)
    with StandInDevice() as device:
        yield device
