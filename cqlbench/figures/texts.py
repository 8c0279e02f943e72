"""How wide words are in print, and where they may be broken."""

from __future__ import annotations

import re

# Pieces that stay together while they fit: a setting, a task, a part of a name, a letter.
PIECES = (r".+?, |.+", r"[^/]*/|[^/]+", r"[^ _@-]*[ _@-]|[^ _@-]+", r".")


def text_width(text: str, size: float) -> float:
    """Inches that the widest line of `text` takes at `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")]
    return max(widths) / 72


def wrapped(text: str, width: float, size: float, pieces: tuple[str, ...] = PIECES) -> str:
    """`text` in lines of at most `width` inches at `size` points.

    Broken at commas where that is enough, else after a space or a sign within a name, and inside a word only where
    the word alone is too wide. No more lines than needed, and these as equally long as may be.
    """
    lines = _lines(text, width, size, pieces)
    for share in (0.6, 0.7, 0.8, 0.9) if len(lines) > 1 else ():
        narrower = _lines(text, share * width, size, PIECES[:-1])
        if len(narrower) == len(lines) and text_width("\n".join(narrower), size) <= share * width:
            lines = narrower
            break
    return "\n".join(line.rstrip() for line in lines)


def _lines(text: str, width: float, size: float, pieces: tuple[str, ...]) -> list[str]:
    if not pieces or text_width(text.rstrip(), size) <= width:
        return [text]
    lines: list[str] = []
    for piece in re.findall(pieces[0], text):
        if lines and text_width((lines[-1] + piece).rstrip(), size) <= width:
            lines[-1] += piece
        else:
            lines += _lines(piece, width, size, pieces[1:])
    return lines
