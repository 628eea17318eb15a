"""What a page is made of, for tests that do not open it."""

from __future__ import annotations

from html.parser import HTMLParser


class Seen(HTMLParser):
    """What a page is made of; `texts` of its script and style elements by what stands in their tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "data": []}
        self._within = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._within = "data" if dict(attrs).get("type") == "application/json" else tag
            self.texts[self._within].append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within:
            self.texts[self._within][-1] += data
        else:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [
            value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name
        ]
