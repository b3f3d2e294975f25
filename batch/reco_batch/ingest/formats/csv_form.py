"""Form of a CSV file: compression, encoding, delimiter and escapes, detected from its beginning.

The content decides, not the name. Every form other than comma-separated UTF-8 is noted, so that a
run reports how it read the file.
"""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import pyarrow as pa

from reco_batch.data import columns as c
from reco_batch.errors import DataRefused
from reco_batch.ingest.formats.storage import Place, native
from reco_batch.ingest.formats.table_file import TextForm

#: Bytes read from the beginning of a file's text; the header must end within them.
_HEAD_BYTES: Final = 256 << 10
_BLOCK_BYTES: Final = 16 << 20
_DELIMITERS: Final = (",", ";", "\t", "|")
_NAMES: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Compressions that are read: first bytes, and the ending of the name.
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_COMPRESSED: Final = {GZIP: ".gz", ZSTD: ".zst"}
_SEP: Final = re.compile(r"sep=(.)\s*$", re.IGNORECASE)


class CsvForm(NamedTuple):
    """Encoding, delimiter, header and escapes of one CSV file."""

    path: Place
    encoding: str
    compression: str
    """Ending of the compression, such as `.gz`; empty: not compressed."""
    delimiter: str
    names: tuple[str, ...]
    """Column names in the header."""
    header_line: int
    offset: int
    """Position of the first row in the text of the file, in bytes of UTF-8."""
    escapes: bool
    """True if quotes in values are written as a backslash and a quote."""
    has_text: bool
    """True if a column may contain free text, which can include line breaks."""

    def open(self) -> pa.NativeFile:
        """Return the rows below the header as UTF-8."""
        if self.compression or self.encoding != "utf-8" or self.escapes:
            stream = self.open_text()
            left = self.offset
            while left and (block := stream.read(left)):
                left -= len(block)
            return pa.PythonFile(stream, mode="r")
        file = native(self.path)
        file.seek(self.offset)
        return file

    def open_bytes(self) -> BinaryIO:
        """Return the whole file in its own encoding, decompressed."""
        return opened(self.path, self.compression)

    def open_text(self) -> BinaryIO:
        """Return the whole file as UTF-8 with doubled quotes."""
        stream = self.open_bytes()
        if self.encoding != "utf-8":
            stream = cast("BinaryIO", _Recoded(stream, self.encoding))
        return cast("BinaryIO", _Unescaped(stream)) if self.escapes else stream


class Head(NamedTuple):
    """Beginning of a file's text."""

    content: bytes
    compression: str
    is_all: bool
    """True if the file ends within `content`."""


def read_head(path: Place) -> Head:
    """Return the beginning of a file, decompressed.

    Raises:
        OSError, EOFError: the file cannot be read.
    """
    with path.open("rb") as file:
        first = file.read(len(ZSTD))
    compression = next((end for magic, end in _COMPRESSED.items() if first.startswith(magic)), "")
    with opened(path, compression) as stream:
        return Head(stream.read(_HEAD_BYTES), compression, not stream.read(1))


def csv_form(path: Place, name: str, text_form: TextForm, head: Head) -> tuple[CsvForm, list[str]]:
    """Return the form of a CSV file, and notes on its unusual properties.

    Args:
        path: a regular file.
        name: its name in messages.
        text_form: the configured encoding, which a byte order mark of UTF-16 or UTF-32 overrides,
            and the names of known columns.
        head: the beginning of its text.

    Raises:
        DataRefused: the file has no header, or its header is not in the encoding.
        OSError, EOFError: it cannot be read.
    """
    compression = head.compression
    encoding, notes = _encoding(head.content, text_form.encoding, name)
    if compression != (path.suffix if path.suffix in _COMPRESSED.values() else ""):
        is_or_not = "is" if compression else "is not"
        notes.append(f"{name} {is_or_not} compressed, whatever its name")
    text, bom = _decoded(head.content, encoding)
    if not head.is_all and not _has_line_end(text):
        raise DataRefused(
            f"the first line has more than {_HEAD_BYTES // 1024} kB",
            "a header line, with the names of the columns",
            "Check the export that writes this file.",
            name,
            1,
        )
    skipped, delimiter = _preamble(text, name, text_form.names, notes)
    header, lines = _header(text, skipped, delimiter, text_form.names)
    if len(header.names) and header.delimiter != ",":
        notes.append(f"{name} is separated by {_NAMES.get(header.delimiter, header.delimiter)}")
    if "\ufffd" in "".join(lines):
        raise _undecodable_header(name, encoding, skipped + 1)
    form = CsvForm(
        path,
        encoding,
        compression,
        header.delimiter,
        header.names,
        skipped + len(lines),
        bom + len("".join([*_lines(text)[:skipped], *lines]).encode()),
        escapes=False,
        has_text=len(header.names) > len(c.matched(header.names, text_form.plain)),
    )
    if form.has_text and _has_escapes(form):
        form = form._replace(escapes=True)
        notes.append(f'{name} has \\" for a quote inside of a value')
    return form, notes


class _Header(NamedTuple):
    delimiter: str
    names: tuple[str, ...]


def opened(path: Place, compression: str) -> BinaryIO:
    """Open a file to read its bytes, decompressed."""
    if compression == _COMPRESSED[ZSTD]:
        stream = pa.CompressedInputStream(native(path), "zstd")
        return cast("BinaryIO", io.BufferedReader(stream, 1 << 20))
    if compression:
        return cast("BinaryIO", gzip.open(path if isinstance(path, Path) else path.open()))
    return path.open("rb")


def _encoding(head: bytes, encoding: str, name: str) -> tuple[str, list[str]]:
    usual = codecs.lookup(encoding).name
    for bom, found in _BOMS:
        if head.startswith(bom):
            is_configured = usual.replace("_", "-").startswith(found)
            return found, [] if is_configured else [f"{name} is read as {found.upper()}"]
    if usual == "utf-8":
        for first, order in ((1, "le"), (0, "be")):
            every_other = head[first:200:2]
            if len(every_other) > 4 and every_other.count(0) > 0.8 * len(every_other):
                raise DataRefused(
                    "it is UTF-16 without a byte order mark",
                    "UTF-8",
                    f"Give --encoding utf-16-{order}, or convert it with iconv.",
                    name,
                )
    return "utf-8" if usual in ("utf-8", "utf-8-sig") else encoding, []


def _decoded(head: bytes, encoding: str) -> tuple[str, int]:
    """Return the text of a file's beginning, and the length of its byte order mark."""
    bom = len(codecs.BOM_UTF8) if encoding == "utf-8" and head.startswith(codecs.BOM_UTF8) else 0
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(head[bom:]), bom


def _undecodable_header(name: str, encoding: str, line: int) -> DataRefused:
    return DataRefused(
        f"the header is not {encoding.upper()}",
        f"a file in {encoding.upper()}",
        "Give its encoding, such as --encoding latin-1, or convert it with iconv.",
        name,
        line,
    )


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def _has_line_end(text: str) -> bool:
    return "\n" in text or "\r" in text


def _preamble(text: str, name: str, known: tuple[str, ...], notes: list[str]) -> tuple[int, str]:
    """Return the number of lines before the header, and the delimiter if `sep=` sets it."""
    delimiter = ""
    lines = _lines(text)
    for number, line in enumerate(lines):
        if separator := _SEP.fullmatch(line):
            delimiter = separator[1]
        elif line.startswith("#") and not _known(line[1:], known):
            notes.append(f"{name}, line {number + 1}: a comment, which is skipped")
        elif line.strip():
            return number, delimiter
    raise DataRefused(
        "there is no header",
        "a header and at least one row",
        "Check the export that writes this file.",
        name,
    )


def _known(line: str, known: tuple[str, ...]) -> int:
    """Return the number of names of known columns in a line, with any delimiter."""
    return len(c.matched(re.split(r"[,;\t|]", line), known))


def _header(
    text: str, skipped: int, given: str, known: tuple[str, ...]
) -> tuple[_Header, list[str]]:
    """Return the header and its lines, with the delimiter that gives the most known names."""
    lines = _lines(text)[skipped:]
    tried = [_split(lines, delimiter) for delimiter in ([given] if given else _DELIMITERS)]
    best = max(tried, key=partial(_fitness, known))
    names, used = best[0].names, best[1]
    rows = csv.reader(lines[used : used + 6], delimiter=best[0].delimiter)
    widths = [row for row in _safely(rows) if row][:5]
    # A delimiter at the end of every row, but not of the header.
    if widths and all(len(row) == len(names) + 1 and row[-1] == "" for row in widths):
        names = (*names, "")
    if names and names[0].startswith("#"):
        names = (names[0].lstrip("# "), *names[1:])
    return _Header(best[0].delimiter, names), lines[:used]


def _split(lines: list[str], delimiter: str) -> tuple[_Header, int]:
    rows = csv.reader(lines, delimiter=delimiter)
    names = next(_safely(rows), [])
    return _Header(delimiter, tuple(names)), max(1, rows.line_num)


def _fitness(known: tuple[str, ...], tried: tuple[_Header, int]) -> tuple[int, int, int]:
    names = tried[0].names
    found = c.matched(names, known)
    usual = (*c.RATINGS, *c.MOVIES)
    others = c.guessed(names, [name for name in usual if name not in found])
    return (len(found) + len(others), len(found), len(names))


def _safely(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return


def _has_escapes(form: CsvForm) -> bool:
    """Return whether a quote is escaped with a backslash inside a value.

    In a file with doubled quotes, a backslash before a quote can only end a value.
    """
    inside = re.compile(rb'\\"[^"\r\n' + re.escape(form.delimiter.encode()) + b"]")
    kept = b""
    # Invalid bytes are reported later, with their line, when the rows are read.
    with form.open_text() as stream, suppress(UnicodeError):
        while block := stream.read(_BLOCK_BYTES):
            if inside.search(kept + block):
                return True
            kept = block[-2:]
    return False


class _Stream(io.RawIOBase):
    """Binary stream that transforms another one."""

    def readable(self) -> bool:
        return True


class _Recoded(_Stream):
    """Text of any encoding as a stream of UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, newline="")

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes: no character takes more than four."""
        return self._text.read(size if size < 0 else max(1, size // 4)).encode()

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        super().close()


class _Unescaped(_Stream):
    """CSV with escaped quotes as a stream with doubled quotes."""

    _ESCAPE = re.compile(rb'\\(["\\])')

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, without splitting an escape."""
        block = self._stream.read(size if size < 0 else max(1, size - 1))
        if (len(block) - len(block.rstrip(b"\\"))) % 2:
            block += self._stream.read(1)
        return self._ESCAPE.sub(lambda found: b'""' if found[1] == b'"' else b"\\", block)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()
