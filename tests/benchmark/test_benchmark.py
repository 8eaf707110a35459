"""The benchmark measures what it says, prints every row and keeps it. No test asserts a time."""

import functools
import json
import shutil
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT, refused

from lib import __main__ as runner
from lib.benchmark import table as benchmark
from lib.benchmark.bench import Bench, Result, in_turns, ratio
from lib.benchmark.encoding import floating_point_operations, pad_to
from lib.benchmark.measurements import MEASUREMENTS
from lib.benchmark.scoring import tiled
from lib.model import Encoder, build_classifier

QUICK = (
    "encode",
    "bald_50",
    "bald_1000",
    "full_passes",
    "fine_tuning",
    "later_rounds",
    "precision",
    "pool_4000",
    "pool_20000",
)


@pytest.fixture(scope="module")
def bench(tiny_encoder, tiny_hub) -> Bench:
    return Bench(hub=tiny_hub, encoder=tiny_encoder, rows=40, labelled=20, repeats=1)


@pytest.fixture(scope="module")
def measure(bench):
    """measure(name) → its rows of the table, measured once."""
    return functools.cache(lambda name: list(benchmark.measure(name, bench)))


@pytest.mark.parametrize("name", [*QUICK, pytest.param("sweep", marks=pytest.mark.slow)])
def test_a_measurement_gives_rows_of_the_table(name, measure):
    for result in measure(name):
        assert result.value > 0
        assert result.memory > 10
        assert result.ratio > 0 or not result.floor
        assert result.what


def test_functions_are_timed_in_turns(monkeypatch):
    clock, calls = iter(range(100)), []
    monkeypatch.setattr("lib.benchmark.bench.time.perf_counter", lambda: next(clock))
    times = in_turns(3, lambda: calls.append("a"), lambda: calls.append("b"))
    assert calls == ["a", "b"] * 3
    assert times.shape == (3, 2)


def test_the_ratio_is_the_median_over_turns():
    assert ratio(np.array([[2.0, 1.0], [9.0, 3.0], [8.0, 2.0]])) == 3.0


def test_operations_are_those_that_torch_counts(bench):
    """Against torch's own counter, which knows no fused attention, on one row: attention is then not padded."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    protocol, rows, _ = bench.prepared(pairs=True)
    encoder, batch = build_classifier(protocol, 3).encoder, rows.batch([0])
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        encoder(batch)
    assert floating_point_operations(encoder, batch.lengths) == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_padded_rows_are_what_transformers_gives(bench):
    from lib.data.rows import load_tokenizer

    protocol, rows, _ = bench.prepared(pairs=True)
    texts = [list(column) for column in zip(*(rows.texts[n] for n in range(5)), strict=True)]
    tokenizer = load_tokenizer(protocol.encoder)
    expected = tokenizer(*texts, truncation=True, max_length=128, padding="max_length", return_tensors="pt")
    for name, column in pad_to(rows, np.arange(5), 128).items():
        assert torch.equal(column, expected[name])


def test_tiled_rows_are_the_rows_again_and_again(bench):
    _, rows, _ = bench.prepared()
    twice = tiled(rows, 7, 2)
    assert len(twice) == 14
    for n in range(14):
        ours, theirs = (some.batch([number]) for some, number in ((twice, n), (rows, n % 7)))
        assert torch.equal(ours.tokens_T, theirs.tokens_T)
        assert twice.texts[n] == rows.texts[n % 7]


def test_bfloat16_that_harms_would_be_seen(measure, bench, monkeypatch):
    """Other picks and another accuracy, if the encoder went wrong in bfloat16."""
    run_layers = Encoder.run_layers

    def wrong(encoder, hidden_TH, *rest):
        return run_layers(encoder, hidden_TH, *rest) * (0.0 if encoder.precision == "bfloat16" else 1.0)

    honest = [result.ratio for result in measure("precision")]
    monkeypatch.setattr(Encoder, "run_layers", wrong)
    picks, accuracy = benchmark.measure("precision", bench)
    assert picks.value < 1
    assert (picks.ratio, accuracy.ratio) != tuple(honest)


def test_the_table_is_printed_and_kept(bench, tmp_path, capsys):
    benchmark.benchmark(bench, ["bald_50"], tmp_path)  # in a process of its own
    out = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "benchmark.csv")
    text = (tmp_path / "benchmark.md").read_text()
    for what in table["what"]:
        assert what in out
        assert what in text
    assert list(table["memory"] > 10) == [True]
    for row in table.to_dict("records"):
        assert benchmark.measured(row) in text


@pytest.mark.parametrize(
    ("value", "unit", "said"), [(1769.4, "s", "1,769 s"), (0.98, "", "0.98"), (38.06, "rows/s", "38.1 rows/s")]
)
def test_values_have_three_digits_and_no_power_of_ten(value, unit, said):
    assert benchmark.measured({"value": value, "unit": unit}) == said


def test_what_was_not_measured_is_empty_in_the_table():
    result = Result("redraw", np.nan, "s", "", np.nan, "≤ 90 s", 2048.4, "not measured: no runs")
    rows = [asdict(result) | benchmark.origin(Bench())]
    *_, written = benchmark.markdown(rows).splitlines()
    cells = [cell.strip() for cell in written.strip("|").split("|")]
    assert cells == ["redraw", "", "", "", "≤ 90 s", "2,048 MB", "not measured: no runs"]
    assert benchmark.line(rows[0]) == "redraw: not measured: no runs (goal ≤ 90 s)"


def test_what_is_measured_again_takes_the_place_of_its_own_rows_alone(tmp_path, monkeypatch):
    """Of the committed table, whose numbers are read and written as they are."""
    for name in ("benchmark.csv", "benchmark.md"):
        shutil.copy(ROOT / "figures" / "study" / name, tmp_path)
    before = pd.read_csv(tmp_path / "benchmark.csv", dtype=str)
    again = [asdict(Result("started", 7.5, "s", "", np.nan, "≤ 8 s", 99.0))]
    said = [sys.executable, "-c", f"print({json.dumps(json.dumps(again))})"]
    run = subprocess.run
    monkeypatch.setattr(benchmark.subprocess, "run", lambda command, **options: run(said, **options))
    benchmark.main(only="start", folder=tmp_path)
    after = pd.read_csv(tmp_path / "benchmark.csv", dtype=str)
    others = before[before["measurement"] != "start"]
    assert 0 < len(others) < len(before)
    kept = after[after["measurement"] != "start"]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), others.reset_index(drop=True))
    (new,) = after[after["measurement"] == "start"].to_dict("records")
    assert (new["what"], new["value"], new["commit"]) == ("started", "7.5", benchmark.commit())
    assert list(after["measurement"].unique()) == [name for name in MEASUREMENTS if name in set(after["measurement"])]
    text = (tmp_path / "benchmark.md").read_text()
    assert f"commit {before['commit'][0]}" in text
    assert f"commit {benchmark.commit()}" in text


def test_a_table_that_does_not_say_what_its_rows_are_of_is_not_replaced(tmp_path):
    (tmp_path / "benchmark.csv").write_text("what,value\nencode,1\n")
    with refused("move it elsewhere"):
        benchmark.keep("encode", [], tmp_path)
    assert (tmp_path / "benchmark.csv").read_text() == "what,value\nencode,1\n"


MISTAKES = {
    "--profile quick": "--profile does not belong to benchmark",
    "--hub nowhere": "there is no such folder",
    "-p runs 1": "-p does not belong to benchmark",
    "--only speed": "no measurement 'speed': choose from encode",
    "--only pol_4000": "no measurement 'pol_4000' (did you mean pool_4000?)",
    "--dry-run": "--dry-run does not belong to benchmark: it takes --hub FOLDER, --only NAME[,NAME]",
    "--ony encode": "unknown argument '--ony' (did you mean --only?): choose from --hub, --only, --help",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(command, tmp_path, capsys):
    assert runner.main(["run", str(tmp_path), "benchmark", *command.split(" ")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_all.sh: ")
    assert err.count("\n") == 1
    assert MISTAKES[command] in err


def test_an_unknown_measurement_is_refused_before_anything_is_measured(tmp_path):
    with refused("no measurement 'speed'"):
        benchmark.main(only="encode,speed", folder=tmp_path)
    assert set(QUICK) < set(MEASUREMENTS)
    assert not list(tmp_path.iterdir())
