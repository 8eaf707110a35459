"""The benchmark compares like with like, runs to its end and keeps what it has measured. No test asserts a time."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import invented_splits, refused, run_all, script, write_dataset
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import table
from benchmarks.bench import Bench, Result
from benchmarks.encoding import floating_point_operations, operations, pad
from benchmarks.scoring import repeated
from benchmarks.table import MEASUREMENTS, measure
from lib.method.model import Encoder, build_classifier

IN_PROCESSES = ("start", "processes", "sweep")  # that take seconds to begin


@pytest.fixture(scope="module")
def bench(tiny_encoder, tiny_hub) -> Bench:
    sizes = {"rows": 40, "labelled": 20, "pool": 300, "turns": 2, "seconds": 1e-9}
    return Bench(hub=tiny_hub, encoder=tiny_encoder, precision="float32", **sizes)


def read(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "benchmark.csv", keep_default_na=False)


# ---- both sides


class Products(TorchDispatchMode):
    """Counts the products of matrices by the type of their factors."""

    def __init__(self):
        super().__init__()
        self.types = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in ("linear", "addmm", "mm", "bmm"):
            for factor in args:
                if isinstance(factor, torch.Tensor) and factor.ndim >= 2:
                    self.types[factor.dtype] = self.types.get(factor.dtype, 0) + 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_both_sides_multiply_in_what_a_run_would_use(kind, tiny_encoder, tiny_hub, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.protocol.fastest_precision", lambda: kind)
    bench = Bench(hub=tiny_hub, encoder=tiny_encoder, rows=5, turns=1, seconds=1e-9)
    with Products() as seen:
        measure("encode", bench, tmp_path)
    assert seen.types.keys() == {getattr(torch, kind)}
    assert set(read(tmp_path)["precision"]) == {kind}


def test_the_precision_can_be_chosen(tiny_encoder, tiny_hub, monkeypatch):
    monkeypatch.setattr("lib.protocol.fastest_precision", lambda: "bfloat16")
    chosen = Bench(hub=tiny_hub, encoder=tiny_encoder, precision="float32")
    assert chosen.protocol(seed=3).precision == chosen.prepared()[2].encoder.precision == "float32"


# the time of each function, in the order in which a measurement names them → the ratios of its rows
TIMES = {
    "encode": ((2.0, 3.0), [1.5]),
    "bald_50": ((3.0, 2.0), [1.5]),
    "full_passes": ((2.0, 1.0, 4.0), [25.0, 100.0]),
    "fine_tuning": ((6.0, 1.0, 3.0), [2.0, 0.5]),
    "later_rounds": ((1.0, 4.0), [0.25]),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_ratio_is_of_what_its_row_says(name, bench, monkeypatch):
    times, ratios = TIMES[name]
    monkeypatch.setattr(
        Bench, "in_turns", lambda bench, *functions: np.array([[*times, *[9.0] * (len(functions) - len(times))]] * 3)
    )
    results = list(MEASUREMENTS[name](bench))
    assert [result.ratio for result in results][: len(ratios)] == pytest.approx(ratios)
    if name == "encode":
        assert results[0].value == 40 / times[0]
        assert results[1].ratio == pytest.approx(results[1].value * 1e9 / (max(operations(32)) / 9.0))


def test_functions_are_called_in_turns(bench):
    calls = []
    times_TF = bench.in_turns(lambda: calls.append("a"), lambda: calls.append("b"))
    assert [name for name, _ in itertools.groupby(calls)] == ["a", "b"] * 2
    assert times_TF.shape == (2, 2)


# ---- what is measured


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
    for name, column in pad(rows, np.arange(5), 128).items():
        assert torch.equal(column, expected[name])


def test_rows_are_repeated_until_they_are_enough(bench):
    _, rows, _ = bench.prepared()
    many = repeated(rows, 2 * len(rows) + 7)
    assert len(many) == len(many.texts) == 2 * len(rows) + 7
    for n in (0, len(rows) - 1, len(rows), len(many) - 1):
        ours, theirs = (some.batch([number]) for some, number in ((many, n), (rows, n % len(rows))))
        assert torch.equal(ours.tokens_T, theirs.tokens_T)
        assert many.texts[n] == rows.texts[n % len(rows)]


# ---- to the end


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in IN_PROCESSES else ()) for name in MEASUREMENTS]
)
def test_a_measurement_ends_whatever_the_number_of_rows(name, bench, tmp_path, capsys):
    """A pool of 300 or 1,500 from 200 rows, too."""
    measure(name, bench, tmp_path)
    kept, out = read(tmp_path), capsys.readouterr().out
    for what in kept["what"]:
        assert f"{what}, float32: " in out
    if name.startswith("pool"):
        assert "200 different rows" in out


def test_each_row_is_kept_as_soon_as_it_is_measured(bench, tmp_path, monkeypatch):
    def breaks(bench):
        yield Result("first", 1.5, "s")
        assert list(read(tmp_path)["what"]) == ["first"]
        yield Result("second", 2.5, "s", "first", ratio=2.0)
        raise RuntimeError

    monkeypatch.setitem(MEASUREMENTS, "breaks", breaks)
    with pytest.raises(RuntimeError):
        measure("breaks", bench, tmp_path)
    assert read(tmp_path)[["what", "value"]].to_numpy().tolist() == [["first", 1.5], ["second", 2.5]]


def test_one_measurement_that_fails_leaves_the_others(tiny_encoder, tmp_path, capfd):
    """In processes, as the command does it: the folder has sst2, and no mnli."""
    splits = invented_splits(["sentence"], 2, 0)
    hub = write_dataset(tmp_path / "hub" / "glue", {"sst2": (["negative", "positive"], splits)}).parent
    bench = Bench(hub=str(hub), encoder=tiny_encoder, rows=20, turns=1, seconds=1e-9)
    assert table.benchmark(bench, ["encode", "later_rounds"], tmp_path) == 1
    assert list(read(tmp_path)["measurement"]) == ["later_rounds"]
    out, err = capfd.readouterr()
    assert "benchmark encode: " in err
    assert "Traceback" not in err
    assert out.count("\n") == 1


def test_what_is_measured_again_takes_the_place_of_its_own_rows_alone(bench, tmp_path, monkeypatch):
    values = iter((1.0, 0.125, 3.0))
    for name in ("later_rounds", "encode"):
        monkeypatch.setitem(MEASUREMENTS, name, lambda bench: iter([Result("it", next(values), "s")]))
    for name in ("later_rounds", "encode", "later_rounds"):
        measure(name, bench, tmp_path)
    kept = read(tmp_path)[["measurement", "value"]].to_numpy().tolist()
    assert kept == [["encode", 0.125], ["later_rounds", 3.0]]


def test_another_table_is_not_replaced(bench, tmp_path, monkeypatch):
    (tmp_path / "benchmark.csv").write_text("what,value\nencode,1\n")
    monkeypatch.setitem(MEASUREMENTS, "start", lambda bench: iter([Result("it", 1.0, "s")]))
    with refused("move it elsewhere"):
        measure("start", bench, tmp_path)
    assert (tmp_path / "benchmark.csv").read_text() == "what,value\nencode,1\n"


# ---- the command

MISTAKES = {
    "--profile quick": "No such option '--profile'",
    "--hub nowhere": "does not exist",
    "--only pol_4000": "no measurement 'pol_4000' (did you mean pool_4000?)",
    "--precision float16": "'float16' (did you mean",
    "--ony encode": "No such option '--ony'. Did you mean '--only'?",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(command, tmp_path, capsys):
    assert run_all(tmp_path, "benchmark", *command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_all.sh: ")
    assert err.count("\n") == 1
    assert MISTAKES[command] in err


# ---- docs/measurements/bfloat16.py


def test_bfloat16_that_harms_would_be_seen(tiny_encoder, tiny_hub, monkeypatch):
    """Other picks and another accuracy, if the encoder went wrong in bfloat16."""
    harm, run_layers = script("bfloat16"), Encoder.run_layers
    fields = {"task": "sst2", "hub": tiny_hub, "encoder": tiny_encoder, "rows": "first", "epochs": 1}

    def wrong(encoder, hidden_TH, *rest):
        return run_layers(encoder, hidden_TH, *rest) * (0.0 if encoder.precision == "bfloat16" else 1.0)

    honest = harm.picks(fields, 20, 60), harm.accuracies(fields, 20, 2, 60)
    monkeypatch.setattr(Encoder, "run_layers", wrong)
    found = harm.picks(fields, 20, 60), harm.accuracies(fields, 20, 2, 60)
    assert found[0]["bfloat16"] < honest[0]["bfloat16"]
    assert (found[1]["float32"] == honest[1]["float32"]).all()
    assert (found[1]["bfloat16"] != honest[1]["bfloat16"]).any()
