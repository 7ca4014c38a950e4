"""Frames: round trips, pieces of any size, and nothing that a hostile peer sends does more than end the connection."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.bus.stomp.frames import Frame, Parser, StompError, encode

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
HEADERS = st.dictionaries(TEXT.filter(bool), TEXT, max_size=5).map(
    lambda headers: {name: value for name, value in headers.items() if name != "content-length"}
)
COMMANDS = st.sampled_from(["MESSAGE", "RECEIPT", "ERROR", "SEND"])
FRAMES = st.builds(Frame, COMMANDS, HEADERS, st.binary(max_size=60))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Frame], bytes]:
    """Frames, and their bytes with heart-beats in between."""
    frames = draw(st.lists(FRAMES, max_size=5))
    beats = st.sampled_from([b"", b"\n", b"\r\n", b"\n\n\n"])
    return frames, b"".join(draw(beats) + encode(*frame) for frame in frames) + draw(beats)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data`, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def outcome(chunks: list[bytes], **limits: int) -> list[object]:
    """The frames, and the error if there is one."""
    parser, found = Parser(**limits), []
    try:
        for chunk in chunks:
            for frame in parser.feed(chunk):
                found.append(frame)
    except StompError as error:
        return [*found, str(error)]
    return list(found)


@given(streams(), st.data())
def test_what_is_encoded_is_parsed_however_it_is_cut(
    stream: tuple[list[Frame], bytes], data: st.DataObject
) -> None:
    frames, raw = stream
    # The length is only given for a body that is not empty.
    expected = [
        frame._replace(
            headers={**frame.headers, "content-length": str(len(frame.body))} if frame.body else frame.headers
        )
        for frame in frames
    ]
    assert outcome(data.draw(pieces(raw))) == expected
    assert outcome([raw[index : index + 1] for index in range(len(raw))]) == expected


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [
                b"MESSAGE",
                b"\n",
                b"\r\n",
                b"\0",
                b":",
                b"a:b",
                b"\\",
                b"\\c",
                b"\\x",
                b"\xff",
                b"content-length:",
            ]
            + [b"1", b"99", b"-1", b"99999999999999999999", b"\xd9\xa1", b"CONNECTED", b"\n\n"]
        ),
        max_size=20,
    ).map(b"".join),
)


@settings(max_examples=500)
@given(HOSTILE, st.data())
def test_anything_else_is_an_error_and_the_same_one_however_it_is_cut(
    raw: bytes, data: st.DataObject
) -> None:
    whole = Parser(frame_limit=50, header_limit=50)
    first = outcome([raw[index : index + 1] for index in range(len(raw))], frame_limit=50, header_limit=50)
    second = outcome(data.draw(pieces(raw)), frame_limit=50, header_limit=50)
    if not any(isinstance(one, str) for one in (*first, *second)):
        assert first == second
        return
    # After an error the connection is given up; frames of the piece that holds it are lost with it.
    assert isinstance(first[-1], str)
    assert isinstance(second[-1], str)
    assert second[:-1] == first[: len(second) - 1]
    with pytest.raises(StompError):
        whole.feed(raw)


@settings(max_examples=300)
@given(streams(), st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_another_frame_or_an_error(
    stream: tuple[list[Frame], bytes], place: int, value: int
) -> None:
    raw = bytearray(stream[1] or b"\n")
    raw[place % len(raw)] = value
    outcome([bytes(raw)])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"MESSAGE\na\n\n\0", "without colon"),
        (b"message\n\n\0", "no STOMP command"),
        (b"MESSAGE\na:\\t\n\n\0", "undefined escape"),
        (b"MESSAGE\na:b\\\n\n\0", "undefined escape"),
        (b"MESSAGE\na:\xff\n\n\0", "UTF-8"),
        (b"MESSAGE\ncontent-length:x\n\n\0", "no number"),
        (b"MESSAGE\ncontent-length:-1\n\n\0", "no number"),
        (b"MESSAGE\ncontent-length:2\n\nabc\0", "does not end"),
        (b"MESSAGE\ncontent-length:99999999\n\n", "the limit is 1000"),
        (b"MESSAGE\na:" + b"x" * 2000, "header block of more than 100"),
        (b"MESSAGE\n\n" + b"x" * 2000, "without end"),
    ],
)
def test_what_is_wrong_is_said(raw: bytes, reason: str) -> None:
    with pytest.raises(StompError, match=reason):
        Parser(frame_limit=1000, header_limit=100).feed(raw)


def test_the_first_of_repeated_headers_counts_and_line_ends_may_be_windows() -> None:
    (frame,) = Parser().feed(b"\r\nMESSAGE\r\na:1\r\na:2\r\nb:x\\r\\n\\c\\\\y:z\r\n\r\nbody\0\r\n")
    assert frame == Frame("MESSAGE", {"a": "1", "b": "x\r\n:\\y:z"}, b"body")


@pytest.mark.parametrize("with_length", [True, False])
def test_a_large_body_in_small_pieces_takes_linear_time(with_length: bool) -> None:
    size = 32_000_000
    raw = encode("MESSAGE", {"a": "b"}, b"x" * size, content_length=with_length)
    parser, began = Parser(), time.process_time()
    for start in range(0, len(raw), 1000):
        frames = parser.feed(raw[start : start + 1000])
    assert len(frames[0].body) == size
    assert time.process_time() - began < 5, "searching anew for every piece would take minutes"


def test_a_frame_without_end_takes_bounded_memory() -> None:
    parser = Parser(frame_limit=1_000_000)
    tracemalloc.start()
    try:
        parser.feed(b"MESSAGE\n\n")
        with pytest.raises(StompError):
            for _ in range(10_000):
                parser.feed(b"x" * 1000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("command", "headers", "body"),
    [
        ("SEND", {"a": "\0"}, b""),
        ("SEND", {}, b"a\0b"),
        ("CONNECT", {"passcode": "a\nlogin:admin"}, b""),
        ("CONNECT", {"passcode": "a\rb"}, b""),
    ],
)
def test_what_would_break_a_frame_is_refused(command: str, headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(ValueError, match=r"NUL|line end"):
        encode(command, headers, body, content_length=False)
