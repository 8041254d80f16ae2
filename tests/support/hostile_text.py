"""Texts that a page, Markdown or a terminal would act on if they were not escaped."""

import random
from dataclasses import fields, is_dataclass, replace

OWNED = "document.documentElement.dataset.owned=1"
FRAGMENTS = (
    f"<script>{OWNED}</script>",
    f'"><img src=x onerror="{OWNED}">',
    f"'><svg onload={OWNED}>",
    f"</script><script>{OWNED}</script>",
    f"</title></style></pre></code></textarea><script>{OWNED}</script>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>'>",
    f'" autofocus onfocus="{OWNED}',
    f"]]><!-- --><script>{OWNED}</script>",
    "{{ results }}{% for x in results %}",
    "$x_{",
    f"[a](javascript:{OWNED})",
    "![a](http://127.0.0.1/track.png)",
    "[a][b]",
    "[b]: javascript:0",
    "\\](c)",
    "a|b\\|c",
    "\n# a heading\n<!--",
    "&lt;script&gt;",
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m\u202e\r\t",
)


def hostile(text):
    """Return `text` and after it three fragments, one of them a script, always the same ones for the same text."""
    draw = random.Random(text)
    return text + "".join([FRAGMENTS[0], *draw.sample(FRAGMENTS[1:-2], 1), draw.choice(FRAGMENTS[-2:])])


def spoiled(value, *, but=()):
    """Return a value with every text in it made hostile, apart from fields and keys named in `but`."""
    if isinstance(value, str):
        return hostile(value)
    if is_dataclass(value):
        names = [each.name for each in fields(value) if each.name not in but]
        return replace(value, **{name: spoiled(getattr(value, name), but=but) for name in names})
    if isinstance(value, dict):
        return {
            key if key in but else hostile(key): item if key in but else spoiled(item, but=but)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(spoiled(item, but=but) for item in value)
    return value
