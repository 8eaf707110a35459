"""Somebody else's text, shown as text: in HTML, in Markdown, and in tables that a spreadsheet opens."""

import html
import re

# what a reader cannot see or what changes how other text is shown: controls, overriding of direction, lone surrogates
UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
SPACES = re.compile(r"[\t\n\x0b\x0c\r]")
# a cell that begins so is a formula to a spreadsheet; or it has apostrophes before that, which must stay tellable
FORMULA = re.compile("'*[\\s\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]*[=+@＝＋－＠-]|'*[\t\r\n]")


def visible(text: str) -> str:
    """One line that can be encoded and printed anywhere: what cannot be seen gets a sign or its number."""
    return UNSEEN.sub(lambda found: _sign(ord(found[0])), SPACES.sub(" ", text))


def _sign(code: int) -> str:
    """␀ for NUL, ␛ for the escape of ANSI codes, ⟨U+202E⟩ for what has no sign."""
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit].rstrip()}… ({len(text):,} characters)"


def in_html(text) -> str:
    """Escaped, so that it is neither HTML nor, in Jupyter, a formula: a sign that may begin one stands by itself."""
    return re.sub(r"[$\\]", r"<span>\g<0></span>", html.escape(visible(str(text))))


def in_markdown(text) -> str:
    """One line in which no sign is Markdown, HTML or a formula."""
    line = " ".join(str(text).split())
    # not two backslashes for one: before a bracket, Jupyter takes them for the beginning of a formula
    return re.sub(r"[\\`*_{}\[\]<>|$#~&!]", lambda sign: "&#92;" if sign[0] == "\\" else f"\\{sign[0]}", line)


def isolated(text, limit: int = 300) -> str:
    """Escaped and shortened; right-to-left text does not reorder what stands around it."""
    return f'<bdi dir="auto">{in_html(shortened(str(text), limit))}</bdi>'


def in_cell(text: str) -> str:
    """For csv: an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """What `in_cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text
