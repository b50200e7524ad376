from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import pytest

from swirl import Pipeline
from tests.sdk.inbox import Inbox, threaded

ads = Pipeline("ads")


@ads.stage(predicts=True)
def classify(mood: str) -> str:
    return mood


def test_a_stage_of_a_module_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(classify)) is classify


def test_a_copy_of_a_pipeline_is_an_emitter_of_its_own_with_nothing_recorded() -> None:
    original, inbox = threaded()

    @original.stage
    def ingest() -> None:
        pass

    ingest()
    copy = pickle.loads(pickle.dumps(original))
    assert (copy.name, copy.settings, repr(copy)) == (original.name, original.settings, repr(original))
    assert copy._emitter.identity != original._emitter.identity
    assert copy._gate.recorders == []
    other = copy.stage(name="serve", after="ingest")(len)
    assert other([1]) == 1
    assert original.close(10) is True
    assert inbox.counter("serve", "records") == 0


def test_functions_written_in_a_main_program_survive_cloudpickle() -> None:
    pytest.importorskip("cloudpickle")
    script = textwrap.dedent(
        """
        import sys, cloudpickle, swirl
        ads = swirl.Pipeline("ads", version=lambda: "7")
        @ads.stage(valid=lambda line: line != "bad", on_invalid="drop")
        def ingest(line):
            return line
        @ads.stage(after=ingest, predicts=True, features=lambda m: {"length": len(m)})
        def classify(text):
            classify.count("calls")
            return text.upper()
        for _ in range(100):
            classify(ingest("x"))
        sys.stdout.buffer.write(cloudpickle.dumps((ads, ingest, classify)))
        """
    )
    dumped = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=True
    ).stdout
    pipeline, ingest, classify = pickle.loads(dumped)
    inbox = Inbox()
    pipeline._emitter.transport = inbox
    assert (ingest("bad"), classify(ingest("x"))) == (None, "X")
    assert pipeline.close(10) is True
    assert inbox.counters("ingest") == {"records": 2, "out": 1, "invalid": 1}
    assert inbox.counters("classify") == {"records": 1, "out": 1, "predictions": 1, "calls": 1, "values": 1}
    assert {piece.version for piece in inbox.slices("ingest")} == {"7"}
    definition = inbox.frames[0].definition
    assert definition is not None
    assert [s.name for s in definition.stages] == ["ingest", "classify"]


def test_one_function_alone_survives_cloudpickle_too() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    original, inbox = threaded()

    @original.stage(predicts=True)
    def double(n: float) -> float:
        return 2 * n

    double(1.0)
    copy = pickle.loads(cloudpickle.dumps(double))
    assert copy is not double
    assert copy(2.0) == 4.0
    assert copy.pipeline is not original
    other = Inbox()
    copy.pipeline._emitter.transport = other
    assert copy.pipeline.close(10) is True
    assert original.close(10) is True
    assert (inbox.counter("double", "records"), other.counter("double", "records")) == (1, 1)
