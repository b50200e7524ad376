from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from swirl.frame import Definition, Frame, RatioDefinition, Slice, StageDefinition, decode
from swirl.sdk.note import BUILT_IN_COUNTERS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "frame.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def frame(number: int) -> Frame:
    decoded = decode(bytes.fromhex(blocks("hex")[number]))
    assert isinstance(decoded, Frame)
    return decoded


def as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_text(v) for name, v in value.items()}
    if isinstance(value, list):
        return [as_text(v) for v in value]
    return value.hex() if isinstance(value, bytes) else value


def table(heading: str) -> set[str]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n\nCounters")[0].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_the_example_bytes_decode_to_what_the_page_says() -> None:
    example = frame(0)
    assert (example.pipeline, example.sequence, example.covers) == (
        "ads",
        1,
        (1_767_571_200_000, 1_767_571_201_000),
    )
    assert example.definition == Definition(
        (
            StageDefinition("ingest", validates=True),
            StageDefinition("classify", ("ingest",), predicts="label"),
        ),
        (RatioDefinition("click rate", ("classify", "clicks"), ("classify", "out")),),
    )
    assert example.slices[0].counters == {"records": 3, "out": 2, "invalid": 1, "predictions": 2, "clicks": 1}
    assert example.slices[0].categories == {"label": {"positive": 2}, "reason": {"text missing": 1}}
    goodbye = frame(1)
    assert (goodbye.goodbye, goodbye.slices, goodbye.sequence) == (True, (), 2)
    assert goodbye.covers[0] == example.covers[1]


def test_the_json_of_the_page_is_the_same_as_its_bytes() -> None:
    raw = msgspec.msgpack.decode(bytes.fromhex(blocks("hex")[0]))
    assert as_text(raw) == json.loads(blocks("json")[0])


def test_the_tables_of_the_page_name_every_field_and_no_other() -> None:
    wire = {field.encode_name for field in msgspec.structs.fields(Frame)}
    assert table("Frame") == wire | {"t"}
    assert table("Slice") == {field.encode_name for field in msgspec.structs.fields(Slice)}
    assert table("Definition") == {field.encode_name for field in msgspec.structs.fields(Definition)}


def test_the_page_names_every_counter_that_swirl_keeps() -> None:
    section = PAGE.partition("Counters that Swirl knows")[2].partition("Distributions:")[0]
    assert {
        n for n in re.findall(r"`([\w:<>]+)`", section) if f"| `{n}`" in section or n == "nulls"
    } >= BUILT_IN_COUNTERS
