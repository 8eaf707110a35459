"""What this code computes is what METHOD_VERSION stands for: small runs of every setting, with the numbers of before.

The tolerances hold on every kind of processor and still notice a learning rate that is one per cent another.
"""

import json

import golden
import pytest

from lib.protocol import METHOD_VERSION

KNOWN = json.loads(golden.FILE.read_text("utf-8"))
CLOSE = {"loss": 1e-3, "training_loss": 1e-3, "probability": 1e-3, "layers": 5e-3, "scores": 2e-2}
ROUNDING = 1e-6  # what rounding does to a score
ADVICE = (
    "the numbers of {name!r} are others than METHOD_VERSION {version} had. If that is meant, raise METHOD_VERSION in "
    "lib/protocol.py and run: python tests/golden.py. Finished runs are then computed again"
)


def compare(name: str, rounds: list[dict]) -> None:
    """Raises AssertionError if the rounds of a setting are not the known ones."""
    advice = ADVICE.format(name=name, version=KNOWN["method"])
    known = KNOWN["runs"][name]
    assert len(rounds) == len(known), advice
    for ours, theirs in zip(rounds, known, strict=True):
        for number, tolerance in CLOSE.items():
            assert ours[number] == pytest.approx(theirs[number], rel=tolerance, abs=ROUNDING), f"{number}: {advice}"
        assert ours["validation_rows"] == theirs["validation_rows"], advice
        if sorted(ours["picked"]) != sorted(theirs["picked"]):  # two rows may change places where rounding decides
            clear = theirs["gap"] is None or theirs["gap"] > CLOSE["scores"] * abs(theirs["scores"][1])
            assert not clear, f"picks: {advice}"
            return  # the rounds that follow train on other rows


def test_the_known_numbers_are_those_of_this_version():
    assert KNOWN["method"] == METHOD_VERSION, "METHOD_VERSION was raised: run python tests/golden.py"
    assert KNOWN["runs"].keys() == golden.SETTINGS.keys(), "settings were added or removed: run python tests/golden.py"


@pytest.mark.parametrize("name", golden.SETTINGS)
def test_a_setting_gives_the_known_numbers(name, tiny_protocol):
    compare(name, golden.computed(tiny_protocol(**golden.SETTINGS[name])))


@pytest.mark.parametrize("field", ["encoder_lr", "decoder_lr"])
def test_a_learning_rate_that_is_one_per_cent_higher_is_noticed(field, tiny_protocol):
    changed = tiny_protocol(**{field: 1.01 * getattr(tiny_protocol(), field)})
    with pytest.raises(AssertionError, match="METHOD_VERSION"):
        compare("BALD", golden.computed(changed))
