"""Small runs of every setting, as this code computes them: `python tests/golden.py` writes method/golden.json anew.

Do so only together with a new METHOD_VERSION: the file holds what the present version computes.
"""

import json
import tempfile
from pathlib import Path

import helpers
import numpy as np

from lib.protocol import METHOD_VERSION, Protocol
from lib.runs.results import Run
from lib.runs.run import run as run_one

FILE = Path(__file__).parent / "method" / "golden.json"
SETTINGS = {
    **helpers.SETTINGS,
    "entropy": {"strategy": "entropy"},
    "margin": {"strategy": "margin"},
    "variation ratio": {"strategy": "variation_ratio"},
    "half at random": {"strategy": "half_bald"},
    "rounding noise": {"strategy": "unguarded_bald", "mc_dropout": "off"},
    "drawn rows": {"draw": 3, "validation_rows": 20},
    "pairs": {"task": "mnli"},
    "trained once": {"rounds": 0, "start": 24, "pool": 25},
}


def computed(protocol: Protocol) -> list[dict]:
    """What decides a run's numbers, round by round, in few of them."""
    with tempfile.TemporaryDirectory() as store:
        run_one(protocol, store)
        run = Run(protocol, Path(store))
        rounds, layers, pool, validation = (run.table(kind) for kind in ("rounds", "layers", "pool", "validation"))
    found = []
    for round_, record in rounds.set_index("round").iterrows():
        scores = np.sort(pool.loc[pool["round"] == round_, "score"])[::-1] if len(pool) else np.empty(0)
        query = len(record["picked"])
        probabilities = np.exp(validation[validation["round"] == round_].filter(regex="^log_prob_").to_numpy())
        found.append(
            {
                "picked": list(record["picked"]),
                "gap": float(scores[query - 1] - scores[query]) if query and len(scores) else None,
                "scores": [float(scores.mean()), *map(float, scores[:3])] if len(scores) else [],
                "loss": record["loss"],
                "training_loss": record["training_loss"],
                "probability": float(probabilities[:, 0].mean()),
                "validation_rows": [int(row) for row in validation.loc[validation["round"] == round_, "row"][:5]],
                "layers": layers.loc[layers["round"] == round_, "mean"].tolist(),
            }
        )
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        encoder = helpers.write_checkpoint(Path(folder) / "encoder", helpers.tiny_config())
        fields = helpers.TINY | {"encoder": str(encoder), "hub": helpers.write_tiny_hub(Path(folder) / "hub")}
        runs = {name: computed(Protocol(**fields | changes)) for name, changes in SETTINGS.items()}
    FILE.write_text(json.dumps({"method": METHOD_VERSION, "runs": runs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
