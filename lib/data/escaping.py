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


# what may be markup in Markdown; not an underscore between letters, nor a colon but that of a link
MARKUP = re.compile(r"[\\$`*{}\[\]<>|#~&!@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)")


def in_markdown(text) -> str:
    """Escaped, in one line, so that it is neither Markdown nor HTML nor, in Jupyter, a formula.

    Jupyter looks for formulas before and after it reads Markdown: what may begin one is a number, in an element.
    """
    return MARKUP.sub(_literal, " ".join(visible(str(text)).split()))


def _literal(sign: re.Match) -> str:
    return f"<span>&#{ord(sign[0])};</span>" if sign[0] in "$\\" else f"\\{sign[0]}"


def isolated(text, limit: int = 300) -> str:
    """Escaped and shortened; right-to-left text does not reorder what stands around it."""
    return f'<bdi dir="auto">{in_html(shortened(str(text), limit))}</bdi>'


def in_cell(text: str) -> str:
    """For csv: an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """What `in_cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text
