"""What a run reports is written whole, continued cleanly, and shown."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marl.runs import monitor as module
from marl.runs.monitor import METRICS_FILE, Monitor


class Clock:
    """Stands still until it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        fake = SimpleNamespace(monotonic=lambda: self.now, time=time.time)
        monkeypatch.setattr(module, "time", fake)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def paper(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def entries(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / METRICS_FILE).read_text().splitlines()]


def curve(run_dir: Path, tag: str) -> list[tuple[int, float]]:
    board = EventAccumulator(str(run_dir), purge_orphaned_data=True)
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(tag)]


def test_a_full_disk_is_a_warning_and_nothing_is_lost(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = paper()
    with Monitor(tmp_path, console=console) as monitor:
        monitor.log(1, {"learn/loss": 1.0})
        write, room = monitor._file._file.write, [10, 0, 10**6]

        class Disk:
            """Has room for so many bytes, then for none, then for plenty."""

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(self, data: bytes) -> int:
                if not room[0]:
                    room.pop(0)
                    raise OSError(28, "No space left on device")
                written = int(write(data[: room[0]]))
                room[0] -= written
                return written

        file = monitor._file._file
        monitor._file._file = Disk()  # type: ignore[assignment]
        monitor.log(2, {"learn/loss": 2.0})
        room.insert(0, 0)
        monitor.log(3, {"learn/loss": 3.0})
        assert [entry["step"] for entry in entries(tmp_path)] == [1]
        room[:] = [10**6]
        monitor.log(4, {"learn/loss": 4.0})
    assert [entry["step"] for entry in entries(tmp_path)] == [1, 2, 3, 4]
    said = text(console)
    assert said.count("curves cannot be written (No space left on device): the run goes on") == 1


def test_tensorboard_without_room_ends_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    console = paper()
    with Monitor(tmp_path, console=console) as monitor:
        monitor.log(1, {"learn/loss": 1.0})
        writer = monitor._board._writer
        assert writer is not None
        records = writer._get_file_writer().event_writer._async_writer._writer

        def full(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(records, "write", full)
        step = 2
        while "cannot be written" not in text(console):  # By a thread, in its own time.
            monitor.log(step, {"learn/loss": 1.0})
            step += 1
            time.sleep(0.01)
        monitor.log(step, {"learn/loss": 5.0})
    assert (step, 5.0) in curve(tmp_path, "learn/loss")
    assert [entry["step"] for entry in entries(tmp_path)] == list(range(1, step + 1))
    assert "Traceback" not in capsys.readouterr().err


def test_an_entry_is_written_to_both_files(tmp_path: Path, clock: Clock) -> None:
    with Monitor(tmp_path, console=paper()) as monitor:
        clock.now += 2
        monitor.count(env_steps=1000, updates=3)
        monitor.count(env_steps=500)
        monitor.log(7, {"learn/loss": 0.25, "learn/q": math.nan})
        clock.now += 5
        monitor.count(env_steps=50)
        monitor.log(9, {"learn/loss": 0.125})
    first, second = entries(tmp_path)
    assert (first["step"], first["seconds"]) == (7, 2.0)
    assert first["learn/loss"] == 0.25
    assert first["learn/q"] is None
    assert first["speed/env_steps/s"] == 750
    assert first["speed/updates/s"] == 1.5
    assert first["memory/rss_mib"] > 10
    assert abs(first["time"] - time.time()) < 60
    assert (second["step"], second["seconds"], second["speed/env_steps/s"]) == (9, 7.0, 10)
    assert second["speed/updates/s"] == 0
    assert curve(tmp_path, "learn/loss") == [(7, 0.25), (9, 0.125)]
    assert curve(tmp_path, "speed/env_steps/s") == [(7, 750), (9, 10)]
    with pytest.raises(KeyError):
        curve(tmp_path, "learn/q")


def test_a_resumed_run_drops_what_was_written_after_its_checkpoint(
    tmp_path: Path, clock: Clock
) -> None:
    with Monitor(tmp_path, console=paper()) as monitor:
        for step in (1, 2, 3, 4):
            clock.now += 10
            monitor.log(step, {"learn/loss": float(step)})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 5, "learn/lo')  # the process was killed here
    # TensorBoard reads files in the order of their names: within a second, a tenth before a ninth.
    time.sleep(1 - time.time() % 1)
    clock.now += 1000
    with Monitor(tmp_path, resume_step=2, console=paper()) as monitor:
        clock.now += 5
        monitor.log(3, {"learn/loss": 30.0})
    assert [(e["step"], e["seconds"], e["learn/loss"]) for e in entries(tmp_path)] == [
        (1, 10, 1),
        (2, 20, 2),
        (3, 25, 30),
    ]
    assert curve(tmp_path, "learn/loss") == [(1, 1), (2, 2), (3, 30)]


def test_resuming_without_earlier_entries(tmp_path: Path) -> None:
    with Monitor(tmp_path, resume_step=5, console=paper()) as monitor:
        monitor.log(6, {"learn/loss": 1.0})
    assert [entry["step"] for entry in entries(tmp_path)] == [6]


def test_plain_lines_come_at_intervals(tmp_path: Path, clock: Clock) -> None:
    console = paper()
    monitor = Monitor(tmp_path, interval=10, console=console)
    for step in range(1, 26):
        clock.now += 1
        monitor.log(step, {"evaluate/2p/score": step / 2, "replay/fill": 0.5})
    lines = text(console).splitlines()
    assert [line.split()[:3] for line in lines] == [["0:10", "step", "10"], ["0:20", "step", "20"]]
    assert "2p/score 5" in lines[0]
    monitor.say("a checkpoint [bold]was[/bold] saved")
    monitor.close()
    assert text(console).splitlines()[2] == "a checkpoint [bold]was[/bold] saved"
    assert "2p/score 12.5" in text(console).splitlines()[3]
    assert "\x1b" not in text(console)


def test_scores_are_told_once_and_rates_are_called_rates(tmp_path: Path, clock: Clock) -> None:
    console = paper()
    with Monitor(tmp_path, interval=10, console=console) as monitor:
        for step in range(1, 5):
            clock.now += 11
            monitor.count(updates=22)
            scores = {"evaluate/hanabi-2/score": 7.0 + step} if step in (1, 3) else {}
            monitor.log(step, {"learn/loss": 0.5, **scores})
    lines = text(console).splitlines()
    assert len(lines) == 4
    assert ["hanabi-2/score" in line for line in lines] == [True, False, True, False]
    assert all("loss 0.5" in line and "updates/s 2" in line for line in lines)


def test_a_configuration_is_shown_beside_its_curves(tmp_path: Path) -> None:
    with Monitor(tmp_path / "mine", console=paper()) as monitor:
        monitor.describe({"seed": 7, "learner": {"gamma": 0.5, "mixing": "iql"}})
        monitor.log(1, {"learn/loss": 1.0})
    # The files lie in the folder of the run, whose name TensorBoard shows.
    assert [file for file in (tmp_path / "mine").iterdir() if "tfevents" in file.name]
    board = EventAccumulator(str(tmp_path / "mine"))
    board.Reload()
    (event,) = board.Tensors("configuration/text_summary")
    (shown,) = event.tensor_proto.string_val
    for line in ("| seed | 7 |", "| learner.gamma | 0.5 |", "| learner.mixing | iql |"):
        assert line in shown.decode()


def test_a_terminal_gets_a_live_view(tmp_path: Path) -> None:
    console = paper(terminal=True)
    with Monitor(tmp_path, seconds=600, console=console) as monitor:
        monitor.log(1234, {"evaluate/2p/score": 12.345, "learn/loss": 0.5})
        monitor.say("something happened")
    shown = text(console)
    for piece in (
        "of 10:00",
        "step 1234",
        "2p, update 1,234",
        "12.35",
        "loss",
        "something happened",
    ):
        assert piece in shown


def test_closing_is_quick_and_can_be_repeated(tmp_path: Path) -> None:
    times = []
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        monitor = Monitor(folder, console=paper(terminal=True))
        for step in range(300):
            monitor.log(step, {f"learn/{i}": 1.0 for i in range(10)})
        start = time.perf_counter()
        monitor.close()
        monitor.close()
        times.append(time.perf_counter() - start)
        assert curve(folder, "learn/9")[-1] == (299, 1.0)
    # The best of three: another process may have had the processor in between.
    assert min(times) < 1


def test_everything_is_on_disk_when_the_run_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with Monitor(tmp_path, console=paper()) as monitor:
            monitor.log(1, {"learn/loss": 0.5})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert curve(tmp_path, "learn/loss") == [(1, 0.5)]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.9, "0:59"), (200, "3:20"), (3600 + 62, "1:01:02")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert module._clock(seconds) == shown
