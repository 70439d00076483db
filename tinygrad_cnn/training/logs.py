"""The curves of a run in a folder: ``history.csv``, and an event file for TensorBoard.

An event file is a row of records: the length (8 bytes), its checksum, the message, its checksum. The checksum is the
CRC-32C of the bytes, turned and shifted; the message is a protocol buffer of four fields. Source: TensorFlow's
`tensorflow/core/util/event.proto` and `tensorflow/core/lib/io/record_writer.cc`.
"""

import csv
import os
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Self

from .records import EpochRecord, Record, StepRecord

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reversed
_MASK_DELTA = 0xA282EAD8
_STEPS_BETWEEN = 10  # updates between two points of a curve


class LogWriter:
    """Writes records of a run into a folder, which is made; a resumed run goes on in it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._table: IO[str] | None = None
        self._events: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._table, self._events):
            if file is not None:
                file.close()

    def write(self, record: Record) -> None:
        """Add a record: every epoch, and every tenth update. OSError when it cannot be written."""
        if isinstance(record, StepRecord):
            if record.step % _STEPS_BETWEEN == 0:
                self._scalars(
                    record.step, {"batch/loss": record.loss, "batch/accuracy": record.accuracy, "lr": record.lr}
                )
            return
        self._row(record)
        values: dict[str, float | None] = {"train/loss": record.loss, "train/accuracy": record.accuracy}
        values |= {"validation/loss": record.validation_loss, "validation/accuracy": record.validation_accuracy}
        self._scalars(record.step, values)

    def _row(self, record: EpochRecord) -> None:
        if self._table is None:
            path = self._folder / "history.csv"
            is_new = not path.exists() or not path.stat().st_size
            self._table = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed at the end of the run)
            if is_new:
                csv.writer(self._table).writerow(asdict(record))
        csv.writer(self._table).writerow("" if v is None else v for v in asdict(record).values())
        self._table.flush()

    def _scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        if self._events is None:
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
            self._events = open(self._folder / name, "wb")  # noqa: SIM115 (as above)
            self._events.write(_record(_double(1, time.time()) + _bytes(3, b"brain.Event:2")))
        for tag, value in values.items():
            if value is not None:
                scalar = _bytes(1, tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, value)
                event = _double(1, time.time()) + _varint(2 << 3) + _varint(step) + _bytes(5, _bytes(1, scalar))
                self._events.write(_record(event))
        self._events.flush()


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", _masked(length)) + message + struct.pack("<I", _masked(message))


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | 1, value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _table() -> list[int]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return rows


_CRC_TABLE = _table()


def _masked(data: bytes) -> int:
    """Return the CRC-32C of bytes, turned and shifted as TensorFlow does it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
