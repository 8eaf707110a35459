"""The kernel is interrupted: what is trained meanwhile goes on, once, and the frame asks on."""

import json
import os
import signal
import threading
import time

import pytest
from test_labelling import begun as begun  # a fixture
from test_labelling import chosen, invented, write_csv
from test_labelling import held as held  # another

from lib.labelling.labeller import Labeller

PATIENCE = 120  # seconds for whatever the kernel does


def interrupt_soon() -> None:
    """Interrupt the main thread, which is this one, when it waits."""
    main = threading.get_ident()
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()


@pytest.mark.parametrize("waits", ["fit", "result", "wait"])
def test_an_interrupt_of_whoever_waits_leaves_the_choice_alone(waits, begun, held):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    for row in session.pending:
        widget.receive({"row": row, "label": session.rows.labels[row % 2]})
    model = session.model
    background = model.background
    wait = {"fit": session.fit, "result": model.result, "wait": background.wait}[waits]
    for _ in range(2):
        interrupt_soon()
        with pytest.raises(KeyboardInterrupt):
            wait()
        assert model.choosing
        assert model.background is background
        widget.receive({"progress": True})
        widget.receive({"row": widget.shown["row"], "label": "negative"})
        assert not widget.shown["error"]
        assert model.background is background, "no second one was begun"
    held.set()
    assert chosen(widget).shown["place"] == "batch 2, row 3 of 8"
    assert len(session.said.batches[1]["rows"]) == 8


def test_an_answer_is_saved_whole_though_the_kernel_is_interrupted(begun, monkeypatch):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    synchronise = os.fsync

    def interrupted(file):
        synchronise(file)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as once:
        once.setattr("lib.labelling.journal.os.fsync", interrupted)
        widget.hear({"row": widget.shown["row"], "label": "negative"})
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "as before"
    widget.hear({"row": widget.shown["row"], "label": "positive"})
    assert not widget.shown["error"]
    assert list(session.said.answers.values()) == ["negative", "positive"]


# ---- in a kernel of Jupyter

SETUP = """
import json, threading, time
from pathlib import Path
from lib import labelling
from lib.method import uncertainty
from lib.labelling import chooser, handover, journal
from lib.labelling.labeller import Labeller
from lib.data.own_rows import read_rows

folder, at_work, most, trained = Path({folder!r}), [], [], []

def paused(name, act):
    "The same, but it says that it begins, and lasts as long as a file holds it."
    def late(*arguments, **named):
        at_work.append(name)
        most.append(at_work.count("train"))
        (folder / name).touch()
        try:
            while (folder / ("hold " + name)).exists():
                time.sleep(0.02)
            return act(*arguments, **named)
        finally:
            at_work.remove(name)
    return late

def train(classifier, *arguments, act=chooser.train):
    trained.append(id(classifier))
    return act(classifier, *arguments)

chooser.train = paused("train", train)
uncertainty.pool_features = paused("score", uncertainty.pool_features)
journal.os.fsync = paused("save", journal.os.fsync)
rows = read_rows(folder / "mine.csv", "text", labels="negative,positive")
session = labelling.Labelling(rows, labelling.recipe(rows, 4, 6, {encoder!r}), folder / "out", 2)
widget = Labeller(session, 0.99)
print(widget.model_id)
"""
STATE = "print(json.dumps([widget.shown, widget.labelling.model.choosing, at_work, most, len(trained)]))"


def label(row: int) -> dict:
    return {"row": row, "label": ("negative", "positive")[row % 2]}


class Kernel:
    """A kernel with a frame in it, as a notebook has."""

    def __init__(self, folder, encoder):
        from jupyter_client.manager import start_new_kernel

        self.folder = folder
        self.manager, self.client = start_new_kernel(kernel_name="python3", startup_timeout=PATIENCE)
        self.model = self.run(SETUP.format(folder=str(folder), encoder=encoder)).split()[-1]

    def run(self, code: str) -> str:
        """What a cell prints. Raises AssertionError if it fails."""
        return self.end(self.client.execute(code), "ok")

    def end(self, cell: str, status: str) -> str:
        """What a cell has printed, when it has ended so."""
        printed = ""
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            printed += content.get("text", "") + "\n".join(content.get("traceback", []))
            if content.get("execution_state") == "idle":
                break
        while (reply := self.client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != cell:
            pass
        assert reply["content"]["status"] == status, printed
        return printed

    def send(self, answer: dict) -> None:
        """What the page sends."""
        data = {"method": "custom", "content": answer}
        content = {"comm_id": self.model, "data": data}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def state(self) -> tuple[dict, bool, list, list, int]:
        """What the frame shows, whether a model chooses, what is at work, how many were trained at once, and in all."""
        return json.loads(self.run(STATE).strip().splitlines()[-1])

    def hold(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / f"hold {name}").touch()

    def go(self, name: str) -> None:
        (self.folder / f"hold {name}").unlink(missing_ok=True)

    def begun(self, name: str) -> None:
        self.until(lambda: (self.folder / name).exists())

    def until(self, true) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def interrupt(self) -> None:
        time.sleep(0.2)  # whoever has begun waits now
        self.manager.interrupt_kernel()

    def answer(self, number: int = 1) -> None:
        """Answer so many rows that are shown."""
        for _ in range(number):
            shown = self.state()[0]
            self.send(label(shown["row"]))
            after = self.state()[0]
            assert after["row"] != shown["row"]
            assert after["error"] == ""

    def asked(self) -> dict:
        """What the frame shows, when no model chooses any more."""

        def idle():
            self.send({"progress": True})
            return not self.state()[0]["working"]

        self.until(idle)
        return self.state()[0]


@pytest.fixture
def kernel(tmp_path, tiny_encoder):
    write_csv(tmp_path / "mine.csv", invented(60))
    kernel = Kernel(tmp_path, tiny_encoder)
    yield kernel
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def test_the_frame_asks_on_after_interrupts_at_five_moments(kernel):
    scores = "handover.write_scores(session, folder)"
    kernel.answer(3)
    row = kernel.state()[0]["row"]
    kernel.hold("save")
    kernel.send(label(row))
    kernel.begun("save")
    kernel.interrupt()  # 1: while an answer is saved, the last before a model is trained
    kernel.go("save")
    shown = kernel.asked()
    assert (shown["error"], shown["total"][:10], shown["place"]) == ("", "4 labelled", "batch 2, row 1 of 6")

    kernel.hold("train")
    kernel.answer(6)
    kernel.begun("train")
    kernel.interrupt()  # 2: while a model is trained and no cell runs
    for _ in range(2):
        shown, choosing, at_work, _, trained = kernel.state()
        assert (shown["error"], choosing, at_work, trained) == ("", True, ["train"], 1)
        kernel.answer()
        cell = kernel.client.execute(scores)
        kernel.interrupt()  # 3: while a cell waits for this model, twice
        assert "KeyboardInterrupt" in kernel.end(cell, "error")
    kernel.go("train")
    assert kernel.asked()["place"] == "batch 3, row 3 of 6"
    assert kernel.state()[4] == 2, "no second training was begun"

    for name in ("train", "score"):
        kernel.hold(name)
        cell = kernel.client.execute(scores)
        kernel.begun(name)
        kernel.interrupt()  # 4 and 5: while a cell trains, and while it scores
        assert "KeyboardInterrupt" in kernel.end(cell, "error")
        kernel.go(name)
        assert kernel.state()[1:3] == [False, []]
        kernel.answer()

    kernel.run(scores)
    assert (kernel.folder / "scored.csv").exists()
    assert max(kernel.state()[3]) == 1, "never two trainings at once"
