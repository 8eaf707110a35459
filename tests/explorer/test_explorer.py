"""The explorer's data and state, without a browser: what it shows is what the store says, and text is only text."""

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from explored import HOSTILE, hostile, large
from helpers import ROOT, refused
from made_up import MadeUp

from lib.data import sources, study_rows
from lib.data.escaping import in_cell, in_html, visible
from lib.data.words import overlap as word_overlap
from lib.explorer import Explorer, comparison, data, panes
from lib.explorer.data import NEVER, Explored
from lib.explorer.filters import ANY, PATIENCE, Filters, matching, ordered
from lib.protocol import profile
from lib.runs import published, results
from lib.runs.packing import Scope
from lib.runs.results import Run
from lib.runs.run import run


@pytest.fixture(scope="module")
def study(tiny_protocol, tmp_path_factory):
    """study(**fields) → a finished run of a protocol; seeds 0 and 1 of BALD and seed 0 of random are there."""
    store = tmp_path_factory.mktemp("explorer")
    made = {}

    def of(**fields) -> Run:
        protocol = tiny_protocol(**{"task": "snli", "samples": 20} | fields)
        if protocol not in made:
            run(protocol, store)
            made[protocol] = Run(protocol, store)
        return made[protocol]

    of(), of(seed=1), of(strategy="random")
    return of


@pytest.fixture(scope="module")
def bald(study) -> Explored:
    return data.explore(study())


class Page(HTMLParser):
    """What an HTML text is made of: tags, attributes, and the text that a reader sees."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = set(), [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag not in ("img", "rect", "ellipse"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "every tag is closed in its place"

    def handle_data(self, text):
        self.text += text


# ---- what it shows of a run


def test_the_table_of_a_round_is_the_stored_pool_with_texts_and_ranks(bald):
    protocol, store = bald.run.protocol, bald.run.store
    pool, rounds = (results.load(table, [protocol], store) for table in ("pool", "rounds"))
    for round_ in (0, 1):
        table = bald.table(round_)
        stored = pool[pool["round"] == round_].set_index("row")
        assert set(table["row"]) == set(stored.index)
        assert table["score"].is_monotonic_decreasing
        for one in table.to_dict("records"):
            kept = stored.loc[one["row"]]
            first, second, label = bald.texts.train[one["row"]]
            assert (one["first"], one["second"], one["label"]) == (first, second, label)
            assert (one["score"], one["bald"], one["entropy"]) == (kept["score"], kept["bald"], kept["entropy"])
            assert one["expected_entropy"] == pytest.approx(max(kept["entropy"] - kept["bald"], 0), abs=1e-6)
            assert one["right"] == (kept["prediction"] == label)
            assert one["rank"] == 1 + sum(stored["score"] > kept["score"])
            assert bald.rank(round_, one["row"]) == (one["rank"], len(stored))
            after = [k for k, picked in enumerate(rounds["picked"]) if one["row"] in picked]
            assert one["queried"] == (after[0] if after else NEVER)


def test_sampled_probabilities_are_those_that_the_scores_were_made_of(bald):
    table = bald.table(1).set_index("row")
    for row in bald.samples[1].index:
        probs_SC = bald.probabilities(1, row)
        assert probs_SC.shape == (20, 3)
        np.testing.assert_allclose(probs_SC.sum(1), 1, atol=1e-6)
        mean_C = probs_SC.mean(0)
        assert -(mean_C * np.log(mean_C)).sum() == pytest.approx(table.loc[row, "entropy"], abs=2e-3)
        aleatoric = -(probs_SC * np.log(probs_SC)).sum(1).mean()
        assert aleatoric == pytest.approx(table.loc[row, "expected_entropy"], abs=2e-3)
    (left_out, *_) = set(table.index) - set(bald.samples[1].index)
    assert bald.probabilities(1, left_out) is None
    assert bald.neighbours(1, left_out).empty


def test_neighbours_are_the_nearest_rows_by_features(bald):
    stored = bald.samples[0]["features"]
    row = stored.index[3]
    away = {other: np.sqrt(((stored[other].astype(float) - stored[row]) ** 2).sum()) for other in stored.index}
    del away[row]
    nearest = bald.neighbours(0, row, 4)
    assert nearest["row"].tolist() == sorted(away, key=away.get)[:4]
    expected = [away[other] / np.median(list(away.values())) for other in nearest["row"]]
    np.testing.assert_allclose(nearest["distance"], expected)
    assert nearest["overlap"][0] == word_overlap(bald.text(row), bald.text(nearest["row"][0]))


def test_other_seeds_of_the_run_are_found_and_no_other_run(bald, study):
    study(seed=2, query=4)
    assert [one.run.protocol for one in data.other_seeds(bald)] == [dataclasses.replace(bald.run.protocol, seed=1)]


def test_last_scores_are_those_from_when_a_row_was_in_the_pool(bald):
    row = bald.rounds["picked"][0][0]
    assert bald.score(1, row) is None
    assert bald.last_score(1, row) == bald.score(0, row) > 0
    assert bald.last_score(1, 0) is None, "row 0 is labelled from the start"


def test_a_pair_is_the_first_run_that_is_there_and_random_of_its_seed(study):
    protocols = [study(strategy=strategy).protocol for strategy in ("bald", "random")]
    missing = dataclasses.replace(protocols[0], seed=7)
    store = study().store
    assert [one.protocol for one in data.pair([missing, *protocols], store)] == protocols
    with refused("none of these runs", "lib.runs.sweep"):
        data.pair([missing], store)


# ---- filters and order

FILTERS = {
    "class": (Filters(label=1), lambda one: one["label"] == 1),
    "right": (Filters(prediction="right"), lambda one: one["right"]),
    "wrong": (Filters(prediction="wrong"), lambda one: not one["right"]),
    "now": (Filters(queried="now"), lambda one: one["queried"] == 0),
    "later": (Filters(queried="later"), lambda one: one["queried"] == 1),
    "never": (Filters(queried="never"), lambda one: one["queried"] == NEVER),
    "score": (Filters(low=0.002, high=0.02), lambda one: 0.002 <= one["score"] <= 0.02),
    "words": (
        Filters(search="THE film"),
        lambda one: all(w in (one["first"] + one["second"]) for w in ("the", "film")),
    ),
    "expression": (
        Filters(search=r"^superb\b.*dull", regular=True),
        lambda one: any(re.search(r"^superb\b.*dull", one[text]) for text in ("first", "second")),
    ),
    "both": (Filters(label=0, prediction="wrong"), lambda one: one["label"] == 0 and not one["right"]),
    "spaces": (Filters(search="  "), lambda one: True),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_what_a_recount_keeps(name, bald):
    filters, expected = FILTERS[name]
    table = bald.table(0)
    kept = matching(table, filters, 0)
    assert table["row"][kept].tolist() == [one["row"] for one in table.to_dict("records") if expected(one)]


@pytest.mark.parametrize("picked", ["first", "second", "both", "neither"])
def test_rows_are_filtered_by_who_picked_them(picked, bald):
    table = bald.table(0)
    a, b = set(table["row"][:6]), set(table["row"][3:9])
    expected = {"first": a - b, "second": b - a, "both": a & b, "neither": set(table["row"]) - a - b}[picked]
    assert set(table["row"][matching(table, Filters(picked=picked), 0, (a, b))]) == expected


@pytest.mark.parametrize("search", ["(", "[a-", "(?P<x", "a{2,1}", "*"])
def test_a_wrong_expression_is_one_line(search, bald):
    with refused(search, "regular expression", "correct it"):
        matching(bald.table(0), Filters(search=search, regular=True), 0)
    assert not matching(bald.table(0), Filters(search=search), 0).any(), "as plain words it is only not found"


@pytest.mark.parametrize("search", ["a{999999999}", "((a{1,999}){,999}){2}"])
def test_an_expression_that_would_fill_the_memory_is_refused(search, bald):
    with refused(search, "10,000", "braces"):
        matching(bald.table(0), Filters(search=search, regular=True), 0)


def test_an_expression_without_end_is_stopped(bald):
    texts = dataclasses.replace(bald.texts, train=[("a" * 60 + "!", "b", 0)] * len(bald.texts.train))
    table = dataclasses.replace(bald, texts=texts).table(0)
    start = time.perf_counter()
    with refused("(a|aa)+$", "takes longer", "simpler"):
        matching(table, Filters(search="(a|aa)+$", regular=True), 0)
    assert time.perf_counter() - start < 10 * PATIENCE


@pytest.mark.parametrize("descending", [False, True])
def test_rows_are_sorted_by_any_column(descending, bald):
    table = bald.table(0)
    kept = (table["label"] != 1).to_numpy()
    for column in table:
        found = table.iloc[ordered(table, kept, column, descending)]
        expected = sorted(table[kept].to_dict("records"), key=lambda one: one[column], reverse=descending)
        assert found[column].tolist() == [one[column] for one in expected]
        assert set(found["row"]) == set(table["row"][kept])


# ---- the widget


@pytest.fixture
def explorer(study) -> Explorer:
    return Explorer(study(), study(strategy="random"), page=7)


def rows_shown(explorer: Explorer) -> list[int]:
    place = [column["key"] for column in explorer.grid.columns].index("row")
    return [int(cells[place]) for cells in explorer.grid.page["rows"]]


def test_it_opens_on_the_last_scored_round_with_the_highest_scores(explorer, bald):
    assert explorer.round == 1
    assert rows_shown(explorer) == bald.table(1)["row"][:7].tolist()
    assert explorer.grid.page["total"] == len(bald.table(1)) == 45
    assert "45 of 45 rows match" in explorer.count.value
    assert f"Row {explorer.chosen['row']}" in explorer.detail.value


def test_filters_are_answered_with_rows_their_number_and_details(explorer, bald):
    explorer.controls.filters["label"].value = 2
    expected = bald.table(1).query("label == 2")
    assert rows_shown(explorer) == expected["row"][:7].tolist()
    assert f"{len(expected)} of 45 rows match" in explorer.count.value
    explorer.controls.filters["search"].value = "no text has this"
    assert "0 of 45 rows match" in explorer.count.value
    assert rows_shown(explorer) == []
    assert explorer.chosen is None
    assert "No row matches" in explorer.detail.value
    explorer.controls.clear.click()
    assert rows_shown(explorer) == bald.table(1)["row"][:7].tolist()


def test_a_wrong_expression_is_said_and_the_rows_stay(explorer):
    before = rows_shown(explorer)
    explorer.controls.filters["regular"].value = True
    explorer.controls.filters["search"].value = "<b>("
    assert 'role="alert"' in explorer.count.value
    assert "&lt;b&gt;(" in explorer.count.value
    assert rows_shown(explorer) == before


def test_the_score_range_keeps_what_lies_in_it_and_its_ends_keep_all(explorer, bald):
    low, high = explorer.controls.limits
    middle = (low + high) / 2
    explorer.controls.range.value = (middle, high)
    assert set(explorer.selection["row"]) == set(bald.table(1).query("score >= @middle")["row"])
    explorer.controls.range.value = (low, high)
    assert len(explorer.selection) == 45


def test_another_round_sets_the_range_in_one_message(explorer, monkeypatch):
    """With one for each end, a page clips the handles between them, and a handle then is not where the kernel says."""
    sent = []
    monkeypatch.setattr(type(explorer.controls.range), "send_state", lambda _, key=None: sent.append({*key}))
    explorer.controls.round.value = 0
    (message,) = sent
    assert message == {"min", "max", "step", "value"}


@pytest.mark.parametrize("names", [*permutations(["min", "max", "step", "value"])])
def test_of_a_range_the_page_hears_the_ends_first(names, explorer):
    """ipywidgets sends what is in a set, in its order; a page that meets the value first clips it to the old ends."""
    assert list(explorer.controls.range.get_state(names))[-1] == "value"


def test_a_click_on_a_column_sorts_by_it(explorer, bald):
    explorer.grid.sort = ["entropy", True]
    assert rows_shown(explorer) == bald.table(1).sort_values("entropy", ascending=False)["row"][:7].tolist()
    explorer.grid.sort = ["first", False]
    assert explorer.selection["first"].tolist() == sorted(bald.table(1)["first"])


def test_walking_beyond_the_page_turns_it_in_the_same_table(explorer, bald):
    grid, order = explorer.grid, bald.table(1)["row"].tolist()
    for position in (6, 7, 8, 44, 0):
        grid.chosen = position
        first = position // 7 * 7
        assert rows_shown(explorer) == order[first : first + 7]
        assert f"Row {order[position]}<" in explorer.detail.value
    assert explorer.grid is grid


def test_sliding_to_another_round_stays_with_the_chosen_row(explorer, bald):
    explorer.grid.chosen = 20
    row = explorer.chosen["row"]
    explorer.controls.round.value = 0
    assert explorer.chosen["row"] == row
    assert row in rows_shown(explorer)
    assert explorer.grid.page["total"] == 50
    picked = bald.rounds["picked"][0][0]
    explorer.grid.chosen = bald.table(0)["row"].tolist().index(picked)
    explorer.controls.round.value = 1
    assert explorer.grid.chosen == 0, "a row that was acquired has left the pool"


def test_details_say_parts_of_the_entropy_ranks_and_neighbours(explorer, bald):
    chosen = explorer.chosen
    text = Page(explorer.detail.value).text
    for name in ("bald", "expected_entropy", "entropy"):
        assert f"{chosen[name]:.4f}" in text
    assert "Probabilities in 20 stochastic passes" in text
    assert f"{bald.probabilities(1, chosen['row'])[:, 0].mean():.3f} ± " in text
    (other,) = data.other_seeds(bald)
    lines = re.findall("<tr><th>(\\d+)</th>(.*?)</tr>", explorer.detail.value)
    for round_, (number, line) in enumerate(lines):
        found = [one.rank(round_, chosen["row"]) for one in (bald, other)]
        cells = [Page(cell).text.removesuffix(" picked") for cell in re.findall("<td>(.*?)</td>", line)]
        assert (int(number), cells[0]) == (round_, f"{len(bald.pool[round_]):,}")
        assert [cell for cell, rank in zip(cells[1:], found, strict=True) if rank] == [
            str(one[0]) for one in found if one
        ]
    assert len(lines) == 2
    for neighbour in bald.neighbours(1, chosen["row"])["row"]:
        assert bald.text(neighbour)[:60] in text


def test_words_that_both_texts_share_are_marked():
    first, second = panes.marked(["The film, the END", "an end of film"])
    assert re.findall("<mark>(.*?)</mark>", first) == ["film", "END"]
    assert re.findall("<mark>(.*?)</mark>", second) == ["end", "film"]
    assert "mark" not in panes.marked(["one text alone"])[0]


def test_two_runs_are_compared_by_what_each_picked_alone(explorer, study):
    bald, random = explorer.first, explorer.second
    explorer.controls.round.value = 0
    text = Page(explorer.comparison.value).text
    picks = [set(one.rounds["picked"][0]) for one in (bald, random)]
    for name, rows in (("first", picks[0] - picks[1]), ("second", picks[1] - picks[0])):
        assert f"{len(rows)} rows picked by the {name} alone" in text
        assert all(f"{bald.score(0, row):.4f}" in text for row in rows), "random's picks with BALD's scores"
    assert f"{len(picks[0] & picks[1])} rows were picked by both" in text
    told = [comparison.compared(one, 0) for one in (bald, random)]
    for one, counted in zip((bald, random), told, strict=True):
        labels = [row[-1] for row in bald.texts.train[:10]] + [bald.texts.train[r][-1] for r in one.rounds["picked"][0]]
        assert counted["class_counts"] == [labels.count(c) for c in range(3)]
        assert counted["labelled"] == len(labels) == 15
        overlaps = [word_overlap(*bald.texts.train[row][:-1]) for row in one.rounds["picked"][0]]
        assert counted["overlap"] == pytest.approx(np.mean(overlaps))
    explorer.controls.filters["picked"].value = "second"
    assert set(explorer.selection["row"]) == picks[1] - picks[0]


def test_the_closest_row_of_a_batch_is_the_one_that_shares_most_words():
    texts = ["a film", "the film", "The end, a film", "", "!"]
    expected = [max(word_overlap(a, b) for j, b in enumerate(texts) if j != i) for i, a in enumerate(texts)]
    assert comparison.closest(texts) == pytest.approx(np.mean(expected))
    assert np.isnan(comparison.closest(["alone"]))


def test_two_runs_with_scores_are_compared_by_both_scores(study):
    explorer = Explorer(study(), study(frozen=2))
    text = Page(explorer.comparison.value).text
    assert "F = 0" in text
    assert "F = 2" in text
    assert "second's score" in text
    for row in explorer.first.picked_until(1) - explorer.second.picked_until(1):
        assert f"{explorer.second.last_score(1, row):.4f}" in text


def test_scores_that_are_all_zero_can_be_explored(bald):
    """As with dropout off: nothing to sort by, and no range."""
    pool = {round_: table.assign(score=0.0, bald=0.0) for round_, table in bald.pool.items()}
    explorer = Explorer(dataclasses.replace(bald, pool=pool))
    assert len(explorer.selection) == 45
    assert set(explorer.table["rank"]) == {1}
    assert "0.0000" in explorer._repr_mimebundle_()["text/html"]


def test_csv_is_the_selection_in_its_order(explorer, tmp_path):
    explorer.controls.filters["prediction"].value = "wrong"
    explorer.grid.sort = ["row", False]
    explorer.save(tmp_path / "rows.csv")
    saved = pd.read_csv(tmp_path / "rows.csv")
    shown = explorer.selection
    assert saved["row"].tolist() == shown["row"].tolist()
    np.testing.assert_allclose(saved["score"], shown["score"], rtol=1e-6)
    assert saved["first"].tolist() == shown["first"].tolist()
    assert set(saved["label"]) <= set(explorer.first.texts.labels)
    sent = []
    explorer.grid.send = sent.append
    explorer.controls.save.click()
    assert sent == [{"name": f"{explorer.first.run.name}-round-01.csv", "text": explorer.csv()}]


# ---- what it refuses


def test_a_mistake_is_one_line(study, tiny_protocol, tmp_path):
    with refused("random", "no scores", "give a run of BALD"):
        Explorer(study(strategy="random"))
    with refused("no scores", "give the other run first"):
        Explorer(study(strategy="random"), study())
    with refused("missing", "lib.runs.sweep"):
        Explorer(study().protocol, store=tmp_path)
    with refused("'reviews'", "Protocol"):
        Explorer("reviews")
    with refused("other rows", "the same task"):
        Explorer(study(), study(task="sst2"))


# ---- without a kernel, without a model


def test_without_a_kernel_it_is_a_table_and_a_picture(explorer, bald):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    page = Page(bundle["text/html"])
    assert page.tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "bdi", "img", "span"} | {
        *("h4", "h5", "section")
    }, "no style and no script, which would be taken away"
    assert dict(page.attributes)["src"].startswith("data:image/png;base64,iVBOR")
    table = bald.table(1)
    for one in (*table.head(10).to_dict("records"), *table.tail(10).to_dict("records")):
        assert one["first"] in page.text
        assert f"{one['score']:.4f}" in page.text
    assert bundle["text/plain"].startswith("Explorer of snli-bald")


OPEN = """
import sys
from lib import figures
from lib.explorer import Explorer, data
from lib.protocol import Protocol
Explorer(Protocol(**{fields!r}), store={store!r})
print([name for name in ("torch", "transformers") if name in sys.modules])
"""


def test_the_explorer_and_the_figures_do_not_wait_for_torch(study):
    one = study()
    program = OPEN.format(fields=dataclasses.asdict(one.protocol), store=str(one.store))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# ---- somebody else's text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_only_text(name):
    written = visible(HOSTILE[name])
    written.encode()
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written)
    page = Page(in_html(HOSTILE[name]))
    assert page.tags <= {"span"}
    assert page.attributes == []
    assert page.text == written


@pytest.mark.parametrize("begin", ["=1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_no_cell_of_a_csv_is_a_formula(begin):
    assert in_cell(begin).startswith("'")


def test_hostile_rows_are_shown_everywhere_as_text(bald):
    explorer = Explorer(hostile(bald), hostile(bald), page=60)
    shown = [explorer._repr_mimebundle_()["text/html"]]
    for position in range(45):
        explorer.grid.chosen = position
        shown.append(explorer.detail.value)
    shown += [explorer.comparison.value, explorer.count.value, explorer.histogram.value, explorer.children[0].value]
    for html in shown:
        page = Page(html)
        assert not page.tags & {"script", "style", "a", "iframe", "link", "object"}
        assert not [name for name, _ in page.attributes if name.startswith("on") or name == "href"]
        assert {
            value for name, value in page.attributes if name == "src" and not value.startswith("data:image/png")
        } == set()
    json.dumps(explorer.grid.get_state(), ensure_ascii=False, default=str).encode()
    cells = [cell for line in csv.reader(io.StringIO(explorer.csv())) for cell in line]
    assert not [cell for cell in cells if cell.startswith(tuple("=+@-\t"))]
    assert any(len(cell) > 90_000 for cell in cells), "a csv holds whole texts"
    assert max(len(cell) for row in explorer.grid.page["rows"] for cell in row) < 300
    explorer.controls.filters["search"].value = "<script>"
    assert 0 < len(explorer.selection) < 45


# ---- speed


def test_twenty_thousand_rows_are_fluid(bald, capsys):
    """Times are printed, not asserted: they depend on the machine."""
    start = time.perf_counter()
    explorer = Explorer(large(bald))
    times = {"open": time.perf_counter() - start}
    actions = {
        "slide": lambda: setattr(explorer.controls.round, "value", 0),
        "class": lambda: setattr(explorer.controls.filters["label"], "value", 1),
        "any class": lambda: setattr(explorer.controls.filters["label"], "value", ANY),
        "sort by score": lambda: setattr(explorer.grid, "sort", ["score", False]),
        "sort by text": lambda: setattr(explorer.grid, "sort", ["first", False]),
        "search": lambda: setattr(explorer.controls.filters["search"], "value", "film story"),
        "expression": lambda: setattr(explorer.controls.filters["regular"], "value", True),
        "range": lambda: setattr(explorer.controls.range, "value", (0.1, 0.3)),
        "row": lambda: setattr(explorer.grid, "chosen", 1),
        "page": lambda: setattr(explorer.grid, "chosen", 40),
        "csv": explorer.csv,
    }
    for name, act in actions.items():
        start = time.perf_counter()
        act()
        times[name] = time.perf_counter() - start
    with capsys.disabled():
        print("\n20,000 rows, ms: " + ", ".join(f"{name} {1000 * taken:.0f}" for name, taken in times.items()))
    assert 0 < len(explorer.selection) < 20_000


# ---- a published run of the study, whose texts are not here


@pytest.fixture
def no_texts(monkeypatch, tmp_path):
    """A store with two made-up runs of MNLI's listed rows, and no data set."""
    monkeypatch.setattr("lib.runs.published.STUDIES", tmp_path)
    monkeypatch.setattr(sources, "hub_answers", lambda: False)
    monkeypatch.setattr(sources, "load_dataset", lambda *_, **__: 1 / 0)
    made = [MadeUp(p) for p in profile("minilm").grid(tasks="mnli", strategies="bald,random", runs=1)]
    scope = Scope(profile("minilm"))
    published.write(tmp_path / "minilm", {one.name: one.entry for one in made}, scope.tables(made), scope.left_out())
    return tmp_path / "empty"


def test_a_published_run_without_texts_shows_all_numbers_and_says_how_to_get_the_texts(no_texts):
    explorer = Explorer(store=no_texts)
    assert 'Explorer(hub="FOLDER")' in Page(explorer.trouble.value).text
    assert {"score", "label", "prediction", "queried"} <= {one["key"] for one in explorer.grid.columns}
    assert not {"first", "second"} & {one["key"] for one in explorer.grid.columns}
    labels, _ = study_rows.facts("mnli")
    assert explorer.table["label"].tolist() == labels[explorer.table["row"]].tolist()
    assert explorer.table["score"].is_monotonic_decreasing
    explorer.controls.filters["label"].value = 1
    assert len(explorer.selection) == (explorer.table["label"] == 1).sum()
    assert "rows of T: entailment" in Page(explorer.comparison.value).text, "two runs are compared"
    page = Page(explorer._repr_mimebundle_()["text/html"])
    assert 'Explorer(hub="FOLDER")' in page.text
    assert "nan" not in page.text


def test_a_run_of_rows_that_are_not_listed_needs_its_texts(no_texts, tiny_protocol):
    with refused("Hub"):
        data.readable(tiny_protocol(task="mnli", hub="", rows="first"))


def test_the_hub_is_asked_for_seconds_and_once(monkeypatch):
    """Nothing listens there: the name is refused or the connection times out."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    sources.hub_answers.cache_clear()
    start = time.perf_counter()
    assert not sources.hub_answers()
    assert not sources.hub_answers()
    assert time.perf_counter() - start < 6
    sources.hub_answers.cache_clear()
