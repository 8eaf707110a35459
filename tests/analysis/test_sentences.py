"""Names that users choose are text in every sentence, whatever Markdown and HTML would make of them."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from lib.analysis import advice, findings, wording
from lib.labelling import annotators

NAMES = ["$5_to_$10", "_other_", "<img src=x onerror=1>", "a|b", "*b*", "x^2", "naïve ✓", "`c`", "[a](b)", "\\(x\\)"]
SAYS = {"mean": 0.1, "low": 0.05, "high": 0.15, "runs": 3, "strategy": "bald"}


def each(*columns: str, **values) -> pd.DataFrame:
    """A row for each name, in each of the columns."""
    return pd.DataFrame(dict.fromkeys(columns or ("task",), NAMES)).assign(**{**SAYS, **values})


def rounds() -> pd.DataFrame:
    health = {"ties_at_rank_query": 10, "passes_differ": True}
    of_seeds = [
        each(strategy=strategy, seed=0, run="r", labelled=labelled, accuracy=accuracy, majority=0.85, macro_f1=0.5)
        for strategy in ("bald", "random")
        for labelled, accuracy in ((10, 0.1), (20, 0.95), (30, 0.95))
    ]
    table = pd.concat(of_seeds, ignore_index=True)
    return table.assign(health=[health] * len(table), picked=[[1]] * len(table), precision="float32")


def in_precision(precision: str) -> pd.DataFrame:
    return each(run=[f"{name} in {precision}" for name in NAMES], seed=0, precision=precision)


SENTENCES = {
    "say_gains": lambda: findings.say_gains(each(**{"from": 10, "to": 20})),
    "say_spread": lambda: findings.say_spread(each(deviation=0.1, labelled=10)),
    "say_narrowest": lambda: findings.say_narrowest(
        pd.concat([each(frozen=0), each(frozen=2, mean=0.01)], ignore_index=True)
    ),
    "say_layers": lambda: " ".join(
        findings.say_layers(pd.DataFrame([{"task": name, "layer": "0", "number": 0, "part": "encoder", **SAYS}]))
        for name in NAMES
    ),
    "say_classes": lambda: findings.say_classes(each(), each("task", "class")),
    "say_classes, none clear": lambda: findings.say_classes(each(low=-1), each("task", "class")),
    "say_fair_draws": lambda: findings.say_fair_draws(each(labelled=10, paper=1, as_even=0.5)),
    "say_claims": lambda: findings.say_claims(
        each(claim="a claim", verdict="supported", p=0.01, **{"p by Holm": 0.01})
    ),
    "say_lengths": lambda: findings.say_lengths(each(labelled=10, longer=1.2, rho=0.1)),
    "say_calibration": lambda: findings.say_calibration(each(error=0.1, floor=0.05, prediction="one pass")),
    "say_samples": lambda: findings.say_samples(
        pd.concat([each(samples=S, seed=0, between_draws=0.5) for S in (5, 50)], ignore_index=True)
    ),
    "say_noise": lambda: findings.say_noise(
        pd.concat([each(lowest=-1e-8, highest=0, **{"share below 0": 0.5})] * 2, ignore_index=True)
    ),
    "say_differences": lambda: wording.say_differences(each(setting="x"), "setting", "accuracy", "BALD"),
    "say_differences of names": lambda: wording.say_differences(each("setting", task="mnli"), "setting", "F1", "_x_"),
    "say_differences of single runs": lambda: " ".join(
        wording.say_differences(one.assign(low=np.nan, high=np.nan, setting="x"), "setting", "F1", "BALD")
        for _, one in each().groupby("task", sort=False)
    ),
    "say_precision": lambda: " ".join(wording.say_precision(pd.concat([in_precision("float32"), in_precision("b16")]))),
    "say_ties": lambda: " ".join(wording.say_ties(rounds())),
    "say_chance": lambda: " ".join(wording.say_chance(rounds().assign(accuracy=0.85))),
    "say_area": lambda: advice.say_area(each()),
    "say_area, not clear": lambda: advice.say_area(each(low=-0.1)),
    "say_saved": lambda: advice.say_saved(each(labels=20, saved=10, reached="3 of 3", **{advice.RANDOMS: 30})),
    "say_saved, never": lambda: advice.say_saved(each(labels=20, saved=10, reached="0 of 3", **{advice.RANDOMS: 30})),
    "say_first_batch": lambda: advice.say_first_batch(each(labelled=20)),
    "say_rare_classes": lambda: advice.say_rare_classes(
        each(labelled=20), rounds().assign(pool_counts=[[90, 10]] * 60, class_counts=[[8, 2]] * 60)
    ),
    "say_baseline": lambda: advice.say_baseline(each(labelled=20)),
    "say_freezing": lambda: advice.say_freezing(each(frozen=-2)),
    "say_uneven": lambda: advice.say_uneven(rounds()),
    "say_saturated": lambda: advice.say_saturated(rounds()),
    "annotators.say": lambda: " ".join(
        annotators.say(name, pd.DataFrame({"your label": [name], "their label": [name]})) for name in NAMES
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_names_are_text_in_every_sentence(sentence):
    page = BeautifulSoup(markdown2html(SENTENCES[sentence]()), "html.parser")
    assert [name for name in NAMES if name not in page.get_text()] == []
    assert {tag.name for tag in page.find_all()} <= {"p", "span", "ul", "li", "strong", "code"}
    assert not any(tag.attrs for tag in page.find_all())
    assert [name for tag in page.find_all(["strong", "code"]) for name in NAMES if name in tag.get_text()] == []
    assert not any(sign in text for text in page.find_all(string=lambda text: len(text) > 1) for sign in "$\\")


def test_every_sentence_is_tried():
    tried = {name.partition(",")[0].partition(" ")[0] for name in SENTENCES}
    said = {name for module in (advice, findings, wording) for name in vars(module) if name.startswith("say_")}
    of_numbers_alone = {"say_architecture", "say_data"}  # name no task of a user's
    parts = {"say_sides", "say_seeds", "say_labels", "say_whether_it_pays"}  # of those that are tried, or made of them
    assert said <= tried | of_numbers_alone | parts
