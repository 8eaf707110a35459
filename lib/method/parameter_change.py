"""Mean absolute difference of the parameters of each layer between θ_0 and θ_3 (equation 2)."""

import re

import pandas as pd
import torch
from torch import Tensor, nn

from lib.data.batches import HEIGHTS

# (name of the parameter, layer it belongs to); the paper numbers encoder layers, convolutions, hidden, output
PATTERNS = (
    (r"encoder\.bert\.embeddings\.", "embeddings"),
    (r"encoder\.bert\.encoder\.layer\.(\d+)\.", "encoder {}"),
    (r"decoder\.convolutions\.(\d+)\.", "convolution {}"),
    (r"decoder\.norms\.", "batch norm"),
    (r"decoder\.hidden\.", "hidden"),
    (r"decoder\.output\.", "output"),
)


def snapshot(classifier: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters, by name. Buffers, such as running means of batch norm, are not parameters."""
    return {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}


def mean_absolute_difference(before: dict[str, Tensor], after: dict[str, Tensor]) -> pd.DataFrame:
    """|Δθ_x| of every layer x (equation 2), from two snapshots of one classifier.

    Returns one row a layer, in the order of the network: `layer`, `number` (the paper's x: encoder layers from 0, then
    convolutions, hidden, output; missing for embeddings and batch norm), `part` ("encoder" or "decoder"),
    `parameters` (N), `mean` of |Δθ| and its population `variance`. Raises ValueError if the names differ.
    """
    if before.keys() != after.keys():
        raise ValueError(f"snapshots of different classifiers: {sorted(before.keys() ^ after.keys())[:3]}")
    layers: dict[str, list[str]] = {}
    for name in before:
        layers.setdefault(layer_of(name), []).append(name)
    rows = [{"layer": layer, **_moments(layer, names, before, after)} for layer, names in layers.items()]
    table = pd.DataFrame(rows)
    numbered = ~table["layer"].isin(["embeddings", "batch norm"])
    table.insert(1, "number", numbered.cumsum().sub(1).where(numbered).astype("Int64"))
    return table


def layer_of(parameter: str) -> str:
    for pattern, layer in PATTERNS:
        if match := re.match(pattern, parameter):
            if layer == "convolution {}":
                return layer.format(HEIGHTS[int(match[1])])
            return layer.format(*match.groups())
    raise ValueError(f"parameter {parameter!r} belongs to no layer of the study's classifier")


def _moments(layer: str, names: list[str], before, after) -> dict:
    changes_P = torch.cat([(after[name] - before[name]).abs().double().flatten() for name in names])
    return {
        "part": "encoder" if layer.startswith(("embeddings", "encoder")) else "decoder",
        "parameters": len(changes_P),
        "mean": float(changes_P.mean()),
        "variance": float(changes_P.var(correction=0)),
    }
