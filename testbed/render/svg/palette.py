"""The colours of every drawing, in light and in dark, and the style sheet that holds them."""

from __future__ import annotations

from ..ladder import Witness

COLOURS: dict[str, tuple[str, str]] = {
    "opening": ("#bf8700", "#d29922"),
    "open": ("#1a7f37", "#3fb950"),
    "closing": ("#0969da", "#58a6ff"),
    "owing": ("#bc4c00", "#f0883e"),
    "waiting": ("#8250df", "#bc8cff"),
    "other": ("#6e7781", "#8b949e"),
}
"""The colour of a bar, in light and in dark."""

COLOUR_OF_STATE = {
    "LISTEN": "opening",
    "SYN_SENT": "opening",
    "SYN_RECEIVED": "opening",
    "ESTABLISHED": "open",
    "FIN_WAIT_1": "closing",
    "FIN_WAIT_2": "closing",
    "CLOSING": "closing",
    "LAST_ACK": "closing",
    "CLOSE_WAIT": "owing",
    "TIME_WAIT": "waiting",
}

INK: dict[str, tuple[str, str]] = {
    "ink": ("#1f2328", "#e6edf3"),
    "dim": ("#656d76", "#8d96a0"),
    "plain": ("#424a53", "#c9d1d9"),
    "syn": ("#1a7f37", "#3fb950"),
    "fin": ("#0969da", "#58a6ff"),
    "rst": ("#cf222e", "#ff7b72"),
    "keepalive": ("#8250df", "#bc8cff"),
    "bad": ("#cf222e", "#ff7b72"),
    "warn": ("#9a6700", "#d29922"),
    "info": ("#0969da", "#58a6ff"),
    "step": ("#57606a", "#adbac7"),
}
"""The colour of text (``t-NAME``) and of lines (``l-NAME``), in light and in dark."""

PAPER = ("#ffffff", "#0d1117")
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"


def style_sheet() -> str:
    """All classes of a drawing, with both sets of colours.

    No custom properties: not every viewer of SVG knows them.
    """
    rules = [
        f"text{{font:13px {FONT};white-space:pre}}.small{{font-size:11px}}.title{{font-weight:700}}",
        ".dashed{stroke-dasharray:7 5}",
        _colour_rules(0),
        *(f".h-{name}{{fill:url(#hatch-{name})}}" for name in COLOURS),
        ".thick{stroke-width:2.6}",
        f"@media(prefers-color-scheme:dark){{{_colour_rules(1)}.thick{{stroke-width:2.6}}}}",
    ]
    return "".join(rules)


def _colour_rules(scheme: int) -> str:
    line = "fill:none;stroke-width:1.4;stroke:"
    rules = [f".paper{{fill:{PAPER[scheme]}}}.halo{{stroke:{PAPER[scheme]};stroke-width:6}}"]
    for name, colours in COLOURS.items():
        rules.append(f".s-{name}{{fill:{colours[scheme]}}}")
        rules.append(f".h-{name}{{stroke:{colours[scheme]};stroke-width:.8}}")
        rules.append(f".z-{name}{{{line}{colours[scheme]}}}")
    for name, colours in INK.items():
        rules.append(f".t-{name}{{fill:{colours[scheme]}}}")
        rules.append(f".l-{name}{{{line}{colours[scheme]}}}.f-{name}{{fill:{colours[scheme]}}}")
    return "".join(rules)


def filled(state: str, witness: Witness) -> str:
    """The class of a bar: solid where the kernel told the state, hatched where the segments imply it."""
    return f"{'s' if witness == 'kernel' else 'h'}-{COLOUR_OF_STATE.get(state, 'other')}"


def definitions() -> str:
    """The patterns of the hatched bars: one ``<defs>`` for all the drawings of a document."""
    return f"<defs>{''.join(map(_hatch, COLOURS))}</defs>"


def _hatch(colour: str) -> str:
    return (
        f'<pattern id="hatch-{colour}" width="5" height="5" patternUnits="userSpaceOnUse"'
        f' patternTransform="rotate(45)"><rect class="s-{colour}" width="2" height="5"/></pattern>'
    )
