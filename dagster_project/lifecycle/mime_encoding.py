"""Text to mail-safe ASCII: bodies in quoted-printable or base64, headers as encoded words."""

from __future__ import annotations

import binascii
import re

MAX_LINE = 998  # octets, RFC 5322 §2.1.1, without CRLF
MAX_FOLDED_LINE = 78  # RFC 5322 §2.1.1, without CRLF
MAX_ENCODED_LINE = 76  # RFC 2045 §6.7 and RFC 2047 §2
ENCODED_WORD_EXTRA = len("=?utf-8?q?") + len("?=")

_UNSAFE_IN_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_BYTES = bytes(byte for byte in range(0x20) if byte not in b"\t\n") + b"\x7f"  # CR too: CRLF is replaced before
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_ASCII = bytes(range(0x80))
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")  # RFC 2047 §5 (3)
_Q = [chr(byte) if byte in _Q_SAFE else "_" if byte == ord(" ") else f"={byte:02X}" for byte in range(256)]


class BuildError(ValueError):
    """This message may not be built. `word` is the reason in snake_case, fit for a ledger; no personal data in it."""

    def __init__(self, word: str, found: str = "") -> None:
        super().__init__(f"{word}: {found}" if found else word)
        self.word = word


def refuse_controls(value: str, what: str) -> None:
    """Raise BuildError when a header's value holds C0, C1, a line separator, or half a character."""
    if _UNSAFE_IN_HEADER.search(value):
        raise BuildError(f"control_character_in_{what}")


def normalised(content: str, what: str) -> bytes:
    """A body as UTF-8 with CRLF line ends. Raises BuildError for a bare CR, a control character, half a character."""
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise BuildError(f"not_unicode_in_{what}") from None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            raise BuildError(f"bare_carriage_return_in_{what}")
    # deleting bytes and comparing lengths is 20 times faster than a regular expression over 10 kB
    if len(data.translate(None, _UNSAFE_BYTES)) != len(data) or (b"\xc2" in data and _C1.search(data)):
        raise BuildError(f"control_character_in_{what}")
    return data.replace(b"\n", b"\r\n")


def part(subtype: bytes, content: bytes) -> bytes:
    """One text part: its headers, an empty line, and the content, as it is where it may be, else as is shorter."""
    if content.isascii() and _is_safe_as_it_is(content):
        name, body = b"7bit", content
    elif len(content.translate(None, _ASCII)) * 6 > len(content):
        name, body = b"base64", _base64(content)
    else:
        name, body = b"quoted-printable", _quoted_printable(content)
    return b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s" % (subtype, name, body)


def _is_safe_as_it_is(content: bytes) -> bool:
    """Does every server carry it unchanged? Some cut long lines, trim blanks at their ends, and write `>From` for `From`."""
    return (
        b" \r\n" not in content
        and b"\nFrom " not in content
        and not content.startswith(b"From ")
        and not content.endswith(b" ")
        and not _has_long_line(content)
    )


def _has_long_line(content: bytes) -> bool:
    """From line end to the last line end within reach, three times as fast as splitting."""
    at = 0
    while len(content) - at > MAX_LINE:
        end = content.rfind(b"\r\n", at, at + MAX_LINE + 2)
        if end < at:
            return True
        at = end + 2
    return False


def unstructured(name: bytes, value: str) -> bytes:
    """A header with free text. Plain ASCII stays readable; what a parser could take for something else is encoded."""
    if _PLAIN.fullmatch(value) and "=?" not in value:
        if len(name) + len(value) <= MAX_FOLDED_LINE:
            return name + value.encode()
        folded = _folded(name, value.encode())
        if folded is not None:
            return folded
    return encoded_words(name, value) if value else name.rstrip()


def encoded_words(name: bytes, value: str) -> bytes:
    """`value` as RFC 2047 words in Q encoding, no character cut in two, folded so that each line has ≤ 76 octets."""
    words: list[str] = []
    word, room = "", MAX_ENCODED_LINE - len(name) - ENCODED_WORD_EXTRA
    for character in value:
        code = "".join([_Q[byte] for byte in character.encode()])
        if len(word) + len(code) > room:
            words.append(word)
            word, room = "", MAX_ENCODED_LINE - 1 - ENCODED_WORD_EXTRA
        word += code
    words.append(word)
    return name + "\r\n ".join([f"=?utf-8?q?{word}?=" for word in words]).encode()


def _folded(name: bytes, value: bytes) -> bytes | None:
    """Fold at single spaces; None when a word is too long for a line, the first one also beside the name: readers would
    see a fold before it as a space."""
    first, *words = value.split(b" ")
    lines, line = [], name + first
    if len(line) > MAX_FOLDED_LINE:
        return None
    for word in words:
        if len(line) + 1 + len(word) > MAX_FOLDED_LINE:
            lines.append(line)
            line = b""
        line += b" " + word
        if len(line) > MAX_FOLDED_LINE:
            return None
    return b"\r\n".join([*lines, line])


def _base64(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    return b"\r\n".join([encoded[at : at + MAX_ENCODED_LINE] for at in range(0, len(encoded), MAX_ENCODED_LINE)])


def _quoted_printable(content: bytes) -> bytes:
    encoded = binascii.b2a_qp(content)
    # it takes the line end from the first line: with none to copy, its soft breaks are bare LF
    return encoded if b"\r\n" in content else encoded.replace(b"\n", b"\r\n")
