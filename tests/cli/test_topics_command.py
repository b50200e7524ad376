"""``swirl topics``: shows, creates, sets; and changes nothing unasked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from kafka.admin import KafkaAdminClient

from swirl.cli.commands import group
from swirl.errors import TopicsError


def called(*arguments: str, **environ: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(group, ["topics", *arguments], env=environ)
    if isinstance(result.exception, TopicsError):
        raise result.exception
    return result.exit_code, result.output.splitlines()


def test_what_is_missing_is_shown_then_created_then_all_is_well(kafka: str, prefix: str) -> None:
    environ = {"SWIRL_KAFKA": kafka, "SWIRL_TOPICS": prefix}
    code, lines = called(**environ)
    assert code == 1
    assert [line.split()[-1] for line in lines[1:7]] == ["missing"] * 6
    assert lines[7:] == ["To create what is missing: swirl topics --create"]
    code, lines = called("--create", "--partitions", "3", "--replicas", "1", **environ)
    assert code == 0
    assert lines[0] == f"created {prefix}.frames"
    code, lines = called(**environ)
    assert code == 0
    assert [line.split() for line in lines[1:4]] == [
        [f"{prefix}.frames", "3", "1", "delete", "7", "d", "0", "ok"],
        [f"{prefix}.state", "3", "1", "compact", "-", "0", "ok"],
        [f"{prefix}.windows", "3", "1", "delete", "7", "d", "0", "ok"],
    ]
    assert len(lines) == 7


def test_what_differs_is_shown_and_set_only_with_apply(kafka: str, prefix: str) -> None:
    environ = {"SWIRL_KAFKA": kafka, "SWIRL_TOPICS": prefix}
    with KafkaAdminClient(bootstrap_servers=[kafka]) as admin:
        told = {"num_partitions": 2, "replication_factor": 1, "configs": {"max.message.bytes": "2000000"}}
        admin.create_topics({f"{prefix}.frames": told}, wait_for_metadata=True)
    for arguments in ((), ("--create",)):
        code, lines = called(*arguments, **environ)
        assert code == 1
        assert (
            f"- {prefix}.frames: message.timestamp.type is CreateTime; it must be LogAppendTime: "
            in "\n".join(lines)
        )
        assert lines[-1] == "To set what differs: swirl topics --apply"
    code, lines = called("--apply", **environ)
    assert code == 0
    assert lines[0] == f"{prefix}.frames: set message.timestamp.type = LogAppendTime"


def test_another_number_of_partitions_is_an_error(kafka: str, prefix: str) -> None:
    environ = {"SWIRL_KAFKA": kafka, "SWIRL_TOPICS": prefix}
    called("--create", "--partitions", "2", **environ)
    with pytest.raises(TopicsError, match="2 partitions, 4 were asked for"):
        called("--create", "--partitions", "4", **environ)


def test_numbers_without_create_are_a_mistake_in_the_call() -> None:
    code, lines = called("--partitions", "4")
    assert (code, lines[-1]) == (2, "Error: --partitions and --replicas are for --create")
