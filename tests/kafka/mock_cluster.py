"""librdkafka's mock cluster: for outages and error codes that a real broker will not give on demand.

It has no access lists, no compaction and no transactions; whatever depends on those needs the real one.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

__all__ = ["Api", "MockCluster"]

_PRODUCER = 0
_HANDLE, _TEXT, _ID, _API = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int16
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "conf_new": (_HANDLE, []),
    "new": (_HANDLE, [ctypes.c_int, _HANDLE, _TEXT, ctypes.c_size_t]),
    "destroy": (None, [_HANDLE]),
    "mock_cluster_new": (_HANDLE, [_HANDLE, ctypes.c_int]),
    "mock_cluster_destroy": (None, [_HANDLE]),
    "mock_cluster_bootstraps": (_TEXT, [_HANDLE]),
    "mock_topic_create": (ctypes.c_int, [_HANDLE, _TEXT, ctypes.c_int, ctypes.c_int]),
    "mock_topic_delete": (ctypes.c_int, [_HANDLE, _TEXT]),
    "mock_topic_set_error": (None, [_HANDLE, _TEXT, ctypes.c_int]),
    "mock_broker_set_down": (ctypes.c_int, [_HANDLE, _ID]),
    "mock_broker_set_up": (ctypes.c_int, [_HANDLE, _ID]),
    "mock_broker_set_rtt": (ctypes.c_int, [_HANDLE, _ID, ctypes.c_int]),
    "mock_partition_delete_records": (ctypes.c_int, [_HANDLE, _TEXT, _ID, ctypes.c_int64]),
    "mock_group_initial_rebalance_delay_ms": (None, [_HANDLE, _ID]),
    "mock_push_request_errors_array": (
        None,
        [_HANDLE, _API, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "mock_clear_request_errors": (None, [_HANDLE, _API]),
}


class Api(IntEnum):
    """Requests of Kafka's protocol."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22


def library() -> ctypes.CDLL:
    """The librdkafka inside the wheel of confluent-kafka.

    Raises:
        FileNotFoundError: the wheel keeps it elsewhere.
    """
    import confluent_kafka

    package = Path(confluent_kafka.__file__).parent
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
        for found in sorted(folder.glob("librdkafka*")):
            loaded = ctypes.CDLL(str(found))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(loaded, f"rd_kafka_{name}")
                function.restype, function.argtypes = result, arguments
            return loaded
    raise FileNotFoundError(f"no librdkafka beside {package}")


class MockCluster:
    """One mock broker in this process; close it, or use it in a ``with``.

    Attributes:
        address: what clients connect to, ``host:port``; it stays the same over :meth:`down` and :meth:`up`.
    """

    def __init__(self) -> None:
        self._library = library()
        why = ctypes.create_string_buffer(512)
        self._client = self._library.rd_kafka_new(_PRODUCER, self._library.rd_kafka_conf_new(), why, 512)
        assert self._client, why.value.decode()
        self._cluster = self._call("cluster_new", 1, on=self._client)
        self.address: str = self._call("cluster_bootstraps").decode()
        self._call("group_initial_rebalance_delay_ms", 0)

    @property
    def options(self) -> dict[str, Any]:
        """What a client of kafka-python is made with; others need nothing but the address.

        The mock's answer to a client that asks which versions there are is malformed as of version 3.
        """
        return {"bootstrap_servers": self.address, "api_version": (2, 3)}

    def topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic."""
        assert self._call("topic_create", name.encode(), partitions, 1) == 0

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        assert self._call("topic_delete", name.encode()) == 0

    def topic_error(self, name: str, code: int) -> None:
        """Answer what is asked about a topic with an error; 0 ends that."""
        self._call("topic_set_error", name.encode(), code)

    def down(self) -> None:
        """Close all connections and refuse new ones."""
        assert self._call("broker_set_down", 1) == 0

    def up(self) -> None:
        """Be there again, with all records."""
        assert self._call("broker_set_up", 1) == 0

    def slow(self, seconds: float) -> None:
        """Answer everything so much later; 0 ends that."""
        assert self._call("broker_set_rtt", 1, round(seconds * 1000)) == 0

    def fail(self, api: Api, *codes: int) -> None:
        """Answer the next requests of a kind with these error codes, one each."""
        self._call("push_request_errors_array", api, len(codes), (ctypes.c_int * len(codes))(*codes))

    def forgive(self, api: Api) -> None:
        """Take back the errors that :meth:`fail` still holds."""
        self._call("clear_request_errors", api)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Let the log of a partition begin at an offset."""
        assert self._call("partition_delete_records", topic.encode(), partition, before) == 0

    def close(self) -> None:
        """End it."""
        self._call("cluster_destroy")
        self._library.rd_kafka_destroy(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, name: str, *arguments: Any, on: Any = None) -> Any:
        return getattr(self._library, f"rd_kafka_mock_{name}")(on or self._cluster, *arguments)
