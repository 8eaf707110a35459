"""Equation 2: the mean absolute difference of each layer's parameters, exactly 0 where a layer was frozen."""

import numpy as np
import pytest
import torch

from lib.data.tasks import load_task
from lib.method.model import build_classifier
from lib.method.parameter_change import layer_of, mean_absolute_difference, snapshot
from lib.method.training import train
from lib.protocol import profile

DECODER = ["convolution 3", "convolution 4", "convolution 5", "batch norm", "hidden", "output"]


def changes(protocol, rows, labelled=range(10)):
    """|Δθ| of one training, one row a layer."""
    classifier = build_classifier(protocol, 2)
    theta_0 = snapshot(classifier)
    train(classifier, rows, labelled, protocol, 0)
    return mean_absolute_difference(theta_0, snapshot(classifier))


def slow_change(before: dict, after: dict, prefixes: list[str]) -> tuple[int, float, float]:
    """N, mean and variance of the absolute differences of all parameters whose names start so."""
    differences = []
    for name in before:
        if any(name.startswith(prefix) for prefix in prefixes):
            differences += [abs(a - b) for a, b in zip(before[name].flatten(), after[name].flatten(), strict=True)]
    mean = sum(differences) / len(differences)
    return len(differences), mean, sum((d - mean) ** 2 for d in differences) / len(differences)


def test_a_layers_change_is_the_mean_over_all_its_parameters(tiny_protocol, tiny_hub):
    protocol = tiny_protocol()
    classifier = build_classifier(protocol, 2)
    theta_0 = snapshot(classifier)
    train(classifier, load_task("sst2", tiny_hub).train, range(10), protocol, 0)
    theta_3 = snapshot(classifier)
    table = mean_absolute_difference(theta_0, theta_3).set_index("layer")

    before, after = ({k: v.double().numpy() for k, v in theta.items()} for theta in (theta_0, theta_3))
    prefixes = {f"encoder {n}": [f"encoder.bert.encoder.layer.{n}."] for n in range(4)}
    prefixes |= {f"convolution {h}": [f"decoder.convolutions.{i}."] for i, h in enumerate((3, 4, 5))}
    prefixes |= {"batch norm": ["decoder.norms."], "hidden": ["decoder.hidden."], "output": ["decoder.output."]}
    for layer, names in prefixes.items():
        number, mean, variance = slow_change(before, after, names)
        assert table.loc[layer, "parameters"] == number
        assert table.loc[layer, "mean"] == pytest.approx(mean, rel=1e-5)
        assert table.loc[layer, "variance"] == pytest.approx(variance, rel=1e-4)
    assert table["parameters"].sum() == sum(value.numel() for value in theta_0.values())


def test_the_formula_on_numbers_that_can_be_checked_by_hand():
    before = {"decoder.output.weight": torch.tensor([[1.0, 2.0]]), "decoder.output.bias": torch.tensor([0.5])}
    after = {"decoder.output.weight": torch.tensor([[1.0, 5.0]]), "decoder.output.bias": torch.tensor([-1.0])}
    (row,) = mean_absolute_difference(before, after).to_dict("records")
    assert row["mean"] == pytest.approx((0 + 3 + 1.5) / 3)
    assert row["variance"] == pytest.approx(np.var([0, 3, 1.5]))


def test_layers_are_numbered_as_the_paper_does(tiny_protocol):
    theta = snapshot(build_classifier(tiny_protocol(), 2))
    table = mean_absolute_difference(theta, theta)
    assert table["layer"].tolist() == ["embeddings", *(f"encoder {n}" for n in range(4)), *DECODER]
    numbered = table.dropna(subset="number")
    assert numbered["number"].tolist() == list(range(4 + 3 + 2))
    assert set(table["layer"]) - set(numbered["layer"]) == {"embeddings", "batch norm"}
    assert (table["part"] == "encoder").tolist() == [True] * 5 + [False] * 6


def test_a_linear_decoder_has_one_layer(tiny_protocol):
    theta = snapshot(build_classifier(tiny_protocol(decoder="linear"), 2))
    table = mean_absolute_difference(theta, theta)
    assert table["layer"].tolist() == ["embeddings", *(f"encoder {n}" for n in range(4)), "output"]


@pytest.mark.parametrize("frozen", [0, 1, 4, -1, -4])
def test_the_change_of_a_frozen_layer_is_exactly_zero_and_of_others_is_not(frozen, tiny_protocol, tiny_hub):
    table = changes(tiny_protocol(frozen=frozen), load_task("sst2", tiny_hub).train)
    assert set(table.loc[table["mean"] == 0, "layer"]) == frozen_layers(frozen, 4)
    assert (table.loc[table["mean"] == 0, "variance"] == 0).all()


def frozen_layers(frozen: int, layers: int) -> set[str]:
    if frozen > 0:
        return {"embeddings", *(f"encoder {n}" for n in range(frozen))}
    return {f"encoder {n}" for n in range(layers + frozen, layers)}


def test_the_frozen_layers_of_a_bert_base_do_not_change(bert_base, tiny_hub):
    """The paper profile, one step."""
    once = {"epochs": 1, "precision": "float32", "runs": 1}
    (protocol,) = profile("paper").grid(tasks=("sst2",), frozen=(-3,), encoder=bert_base, **once)
    table = changes(protocol, load_task("sst2", tiny_hub).train, range(4))
    assert set(table.loc[table["mean"] == 0, "layer"]) == frozen_layers(-3, 12)
    layers = table[table["layer"].str.fullmatch(r"encoder \d+")]
    assert layers["parameters"].tolist() == [7_087_872] * 12


def test_a_snapshot_does_not_follow_its_classifier(tiny_protocol):
    classifier = build_classifier(tiny_protocol(), 2)
    theta_0 = snapshot(classifier)
    kept = theta_0["decoder.output.bias"].clone()
    with torch.no_grad():
        classifier.decoder.output.bias += 1
    assert torch.equal(theta_0["decoder.output.bias"], kept)


def test_snapshots_of_different_classifiers_are_an_error(tiny_protocol):
    cnn, linear = (snapshot(build_classifier(tiny_protocol(decoder=decoder), 2)) for decoder in ("cnn", "linear"))
    with pytest.raises(ValueError, match="different classifiers"):
        mean_absolute_difference(cnn, linear)
    with pytest.raises(ValueError, match=r"head\.weight"):
        layer_of("head.weight")
