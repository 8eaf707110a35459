"""The text of a file whose encoding nobody has named."""

import codecs
from pathlib import Path

from lib.errors import StudyError

# of text that is not UTF-8, the likeliest first: Western Europe, Cyrillic, Chinese, Arabic, Thai
ENCODINGS = ["cp1252", "cp1251", "gb18030", "cp1256", "cp874"]
BOMS = {  # UTF-32 first: its mark begins as that of UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded(content: bytes, path: Path) -> tuple[str, list[str]]:
    """The text of a file: UTF-8 or UTF-16, also with a few broken bytes, else what charset-normalizer finds likeliest.

    What is broken or guessed is said. Raises StudyError if nothing fits.
    """
    encoding = wide(content) or "utf-8-sig"
    try:
        return content.decode(encoding), []
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding, "replace").count("\n") + 1
        said = f"byte {content[error.start]:#04x} in line {line} is not {encoding.removesuffix('-sig').upper()}"
    lenient = content.decode(encoding, "replace")
    broken = lenient.count("\ufffd") - content.count("\ufffd".encode())
    if encoding != "utf-8-sig" or is_utf_8(lenient, broken):
        more = f" and {broken - 1} more such places" if broken > 1 else ""
        return lenient, [f"{said}{more}: read as \ufffd; to correct it, save the file again as UTF-8"]
    from charset_normalizer import from_bytes

    found = from_bytes(content, cp_isolation=ENCODINGS).best()
    if found is None:
        raise StudyError(f"{path}: {said}, and no other encoding fits: save it as UTF-8")
    return str(found), [f"{said}; it is read as {found.encoding}: if letters look wrong, save it as UTF-8"]


def wide(content: bytes) -> str:
    """The name of UTF-16 or UTF-32 if a file says so or, in UTF-16, has its zeros in every other byte; else ""."""
    for bom, encoding in BOMS.items():
        if content.startswith(bom):
            return encoding
    sample = content[: 2**16]
    for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
        zeros, others = sample[first::2].count(0), sample[1 - first :: 2].count(0)
        enough = zeros > max(0.02 * len(sample), 10 * others)  # a zero in a text of UTF-8 stands alone
        if enough and "\n" in sample.decode(encoding, "ignore"):
            return encoding
    return ""


def is_utf_8(lenient: str, broken: int) -> bool:
    """Whether more letters or more lines fit UTF-8 than do not: in other encodings, hardly any does by chance."""
    fitting = len(lenient) - len(lenient.encode("ascii", "ignore")) - lenient.count("\ufffd")
    lines = [line for line in lenient.split("\n") if not line.isascii()]
    whole = sum("\ufffd" not in line for line in lines)
    return fitting >= broken or whole > len(lines) - whole
