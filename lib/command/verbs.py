"""What the commands beside a run take: benchmark, label, check, verify. Like the run's, read with Python alone."""

from pathlib import Path

from lib.command.options import (
    ON_REQUEST,
    OPTIONS,
    PATHS,
    UsageError,
    check_names,
    choose,
    convert,
    hub_folder,
    parse,
    results_folder,
)


def plan_benchmark(arguments: list[str], caller: Path) -> dict[str, str]:
    """hub, only and precision, as benchmarks.table.main takes them. Raises UsageError."""
    takes = {"--hub": "FOLDER", "--only": "NAME[,NAME]", "--precision": "float32|bfloat16"}
    options, _ = taken("benchmark", takes, arguments)
    given = {name: options[f"--{name}"] for name in ("only", "precision") if f"--{name}" in options}
    return {**given, **hub_folder(options, caller)}


def plan_label(arguments: list[str], caller: Path, notebooks: dict[Path, dict]) -> tuple[Path, dict, list[str]]:
    """For `label FILE [-p NAME VALUE]... [-- OPTION...]`: notebook 07, its parameters' values, JupyterLab's options.

    Raises UsageError.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    arguments, of_jupyterlab = arguments[:end], arguments[end + 1 :]
    if not arguments or arguments[0].startswith("-"):
        raise UsageError("label needs FILE after it: ./run_all.sh label my.csv -p labels negative,positive")
    _, pairs = taken("label", {"-p": "NAME VALUE"}, arguments[1:])
    file = (caller / arguments[0]).resolve()
    if not file.is_file():
        raise UsageError(f"label {arguments[0]}: there is no such file: give a csv, tsv, json, jsonl, parquet or xlsx")
    ((path, defaults),) = choose(notebooks, ON_REQUEST[0]).items()
    check_names(pairs, {path: defaults}, notebooks)
    values = {name: convert(name, text, defaults[name]) for name, text in pairs}
    values |= {name: str((caller / values[name]).resolve()) for name in PATHS if values.get(name)}
    return path, {**values, "path": str(file)}, of_jupyterlab


def plan_audit(arguments: list[str], caller: Path) -> dict:
    """For `check` and `verify`: verb, store and, of verify, name, round_ and hub. Raises UsageError."""
    verb, *rest = arguments
    name = rest.pop(0) if verb == "verify" and rest and not rest[0].startswith("-") else ""
    takes = {"--results": "FOLDER"}
    options, _ = taken(verb, takes if verb == "check" else {"--round": "N", "--hub": "FOLDER", **takes}, rest)
    if not options.get("--round", "0").isdecimal():
        raise UsageError(f"--round {options['--round']}: give a whole number, for example --round 1")
    given = {"verb": verb, "store": results_folder(options, caller).get("results", "")}
    if verb == "verify":
        round_ = int(options["--round"]) if "--round" in options else None
        given |= {"name": name, "round_": round_, "hub": hub_folder(options, caller).get("hub", "")}
    return given


def taken(verb: str, takes: dict[str, str], arguments: list[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """`parse` for a verb that takes these options alone: option → what stands after it."""
    options, pairs = parse(arguments, OPTIONS | {"--round": "N"} | takes, takes)
    for option in [*options, *(["-p"] if pairs else [])]:
        if option not in takes:
            listed = ", ".join(f"{name} {value}" for name, value in takes.items())
            raise UsageError(f"{option} does not belong to {verb}: it takes {listed}")
    return options, pairs
