"""Findings as SARIF 2.1.0 (OASIS, 27 March 2020), which code hosts and editors read.

A finding is a result; its rule is a row of `findings.RULES`.  SARIF has places in text and in bytes
and none for a packet: so the capture is the artifact, the connection a logical location, and the
frame stands in the message and among the properties.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from .._version import __version__
from ..explanation.survey import Row
from ..findings import RULES, Rule, Severity
from ..render.escape import visible

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}

_INDEX: Final = {rule.code: position for position, rule in enumerate(RULES)}


def pieces(rows: Iterable[Row]) -> Iterator[str]:
    """The log of the findings in `rows`, in pieces, a line for each finding."""
    driver = {"name": "testbed", "version": __version__, "rules": [_rule(rule) for rule in RULES]}
    yield f'{{"$schema": {json.dumps(SCHEMA)}, "version": "2.1.0", "runs": [{{\n'
    yield f'"tool": {{"driver": {json.dumps(driver, indent=1)}}},\n"results": ['
    separator = "\n"
    for row in rows:
        for finding in row.document["findings"]:
            yield separator + json.dumps(_result(row, finding))
            separator = ",\n"
    yield "\n]}]}\n"


def _rule(rule: Rule) -> dict[str, Any]:
    told = f"{rule.meaning} Cause: {rule.cause} Remedy: {rule.remedy} What would disprove it: {rule.disproof}"
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": told},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"source": rule.rfc},
    }


def _result(row: Row, finding: dict[str, Any]) -> dict[str, Any]:
    document = row.document
    ends = f"{visible(document['client'])} -> {visible(document['server'])}"
    where = f"{visible(row.capture.file)}, connection {document['id']} ({ends})"
    if finding["frame"] is not None:
        where += f", frame {finding['frame']}"
    return {
        "ruleId": finding["code"],
        "ruleIndex": _INDEX[finding["code"]],
        "level": LEVELS[Severity(finding["severity"])],
        "message": {"text": f"{where}: {visible(finding['text'])}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": uri_of(row.capture.file)}},
                "logicalLocations": [
                    {"name": f"connection {document['id']}", "fullyQualifiedName": ends, "kind": "object"}
                ],
            }
        ],
        "properties": {
            "connection": document["id"],
            "frame": finding["frame"],
            "side": finding["side"],
        },
    }


def uri_of(file: str) -> str:
    """A file's name as a URI: relative where the name is."""
    if file in ("-", "<stream>"):
        return "stdin"
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
