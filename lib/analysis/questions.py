"""What notebook 06 measures of the runs in the store: settings, near-duplicates, calibration, the effect of S."""

import numpy as np
import pandas as pd

from lib.analysis.calibration import (
    area_under_risk_coverage,
    brier_score,
    calibration_floor,
    expected_calibration_error,
    reliability,
    risk_coverage,
)
from lib.data.words import overlaps
from lib.protocol import Protocol
from lib.runs import results

NEAR = 0.3  # share of words from which two texts of a batch are called near-duplicates
SINGLE, MEAN = "one deterministic pass", "mean over passes"


def load(table: str, settings: dict[str, list[Protocol]], store="") -> pd.DataFrame:
    """A table of the store for named settings, with the column `setting`."""
    loaded = {name: results.load(table, protocols, store or results.STORE) for name, protocols in settings.items()}
    return pd.concat([frame.assign(setting=name) for name, frame in loaded.items()], ignore_index=True)


def of_equal_sizes(rounds: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The rounds of the settings whose sizes of T are those of `setting`: their areas under the curve compare."""
    sizes = rounds.groupby("setting")["labelled"].agg(lambda labelled: tuple(sorted(set(labelled))))
    return rounds[rounds["setting"].map(sizes) == sizes.get(setting)]


def beginnings(rounds: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """How well each setting begins: mean accuracy over the sizes of T that random has after its first `most` batches.

    Sizes that a setting does not have are left out. Columns task, setting, seed, accuracy.
    """
    sizes = sorted(set(rounds.loc[rounds["setting"] == "random", "labelled"]))[1 : 1 + most]
    some = rounds[rounds["labelled"].isin(sizes)]
    return some.groupby(["task", "setting", "seed"], sort=False)["accuracy"].mean().reset_index()


def of_samples(rounds: pd.DataFrame) -> pd.DataFrame:
    """Shared picks against S: a row for each run and S, from the last scored round of each run."""
    examined = rounds[rounds["examined"].map(bool).astype(bool)]
    rows = [
        {"task": run["task"], "seed": run["seed"], "run": run["run"], **shared}
        for _, run in examined.iterrows()
        for shared in run["examined"]["samples"]
    ]
    return pd.DataFrame(rows, columns=["task", "seed", "run", "samples", "between_draws", "with_largest"])


def near_duplicates(rounds: pd.DataFrame, texts: dict) -> pd.DataFrame:
    """Pairs of rows in a batch that share NEAR or more of their words, as a share of all pairs; a row a run.

    Runs of tasks whose texts are not given are left out.

    `closest`: mean over the rows of a batch of the word overlap with the row of the batch that is most like it.
    """
    rows = []
    for _, run in rounds[rounds["task"].isin([*texts])].groupby("run", sort=False):
        task, seed, setting = run.iloc[0][["task", "seed", "setting"]]
        batches = [[" ".join(texts[task].train[row][:-1]) for row in batch] for batch in run["picked"] if len(batch)]
        shared = [overlaps(batch) for batch in batches]
        pairs = np.concatenate([overlap_NN[np.triu_indices(len(overlap_NN), 1)] for overlap_NN in shared])
        closest = np.concatenate([overlap_NN.max(1) for overlap_NN in shared])
        measured = {"near_duplicates": (pairs >= NEAR).sum(), "pairs": len(pairs), "closest": closest.mean()}
        rows.append({"task": task, "seed": seed, "setting": setting, "run": run["run"].iloc[0], **measured})
    return pd.DataFrame(rows, columns=["task", "seed", "setting", "run", "near_duplicates", "pairs", "closest"])


def predictions(validation: pd.DataFrame) -> dict[str, np.ndarray]:
    """Probabilities of one run's rows: of one deterministic pass, and the mean over the stochastic passes."""
    kinds = {SINGLE: "log_prob_", MEAN: "mean_log_prob_"}
    found = {kind: [name for name in validation if name.startswith(start)] for kind, start in kinds.items()}
    return {kind: np.exp(validation[names].dropna(axis=1).to_numpy(float)) for kind, names in found.items()}


def calibration(validation: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How far each run's probabilities can be believed; and the reliability diagram over all runs of a task.

    A row a run and kind of prediction: its calibration error, the floor below which chance alone keeps it from
    falling, and its Brier score.
    """
    errors, diagrams = [], [pd.DataFrame()]
    for task, runs in validation.groupby("task", sort=False):
        for kind in (SINGLE, MEAN):
            for (run, seed), some in runs.groupby(["run", "seed"], sort=False):
                probs_NC, labels_N = predictions(some)[kind], some["label"]
                measured = {"error": expected_calibration_error(probs_NC, labels_N)}
                measured |= {"floor": calibration_floor(probs_NC), "brier": brier_score(probs_NC, labels_N)}
                errors.append({"task": task, "seed": seed, "run": run, "prediction": kind, **measured})
            diagram = reliability(predictions(runs)[kind], runs["label"])
            diagrams.append(diagram.assign(task=task, prediction=kind))
    columns = ["task", "seed", "run", "prediction", "error", "floor", "brier"]
    return pd.DataFrame(errors, columns=columns), pd.concat(diagrams, ignore_index=True)


def rejection(validation: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Area under the risk-coverage curve of each run by what rejects; and the curves of the first seed."""
    areas, curves = [], [pd.DataFrame()]
    for (task, seed, run), some in validation.groupby(["task", "seed", "run"], sort=False):
        probs_NC = predictions(some)[MEAN]
        wrong_N = probs_NC.argmax(1) != some["label"].to_numpy()
        rules = {"a random order": np.zeros(len(some)), "BALD": some["bald"].to_numpy(), "confidence": -probs_NC.max(1)}
        for rule, uncertainty_N in rules.items():
            area = area_under_risk_coverage(wrong_N, uncertainty_N)
            areas.append({"task": task, "seed": seed, "run": run, "rejected by": rule, "area": area})
            if seed == validation["seed"].min():
                curves.append(risk_coverage(wrong_N, uncertainty_N).assign(task=task, rule=rule))
    columns = ["task", "seed", "run", "rejected by", "area"]
    return pd.DataFrame(areas, columns=columns), pd.concat(curves, ignore_index=True)


def noise(pool: pd.DataFrame) -> pd.DataFrame:
    """What float32 makes of equation 1 where every pass is the same, beside lib's BALD of the same passes."""
    rows = []
    for task, some in pool.groupby("task", sort=False):
        for name, column in (("float32, unguarded", "score"), ("this study's BALD", "bald")):
            values = some[column]
            smallest = values[values != 0].abs().min()
            sizes = {"lowest": values.min(), "highest": values.max(), "smallest size but 0": smallest}
            rows.append({"task": task, "computed as": name, **sizes, "share below 0": (values < 0).mean()})
    return pd.DataFrame(rows)
