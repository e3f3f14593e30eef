from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from automl.explanation.page import page, symbol
from tests.automl.explanation.cases import explanation

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><h1>",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "{{7*7}}",
    "\u202egnp.exe",
    "a\x00b",
]
ATTRIBUTES = {"class", "style", "title", "id", "charset", "name", "content", "lang", "http-equiv"}
DRAWN = {"svg", "defs", "marker", "path", "rect", "text"}


class Structure(HTMLParser):
    """The elements of a page, and the texts between them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(document.replace(get_plotlyjs(), ""))  # four megabytes that are always the same

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in DRAWN:
            self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def harmless() -> Structure:
    return Structure(page(explanation("abc", "d")))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_wherever_it_stands(text: str, harmless: Structure) -> None:
    found = Structure(page(explanation(text, "d")))
    assert found.elements == harmless.elements
    assert found.attributes == harmless.attributes <= ATTRIBUTES
    assert any(text.replace("\x00", "") in each.replace("\x00", "") for each in found.texts)


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=8))
def test_no_text_changes_the_elements_of_a_page(harmless: Structure, text: str) -> None:
    assert Structure(page(explanation(text, "d"))).elements == harmless.elements


def test_a_page_asks_for_nothing_from_elsewhere(harmless: Structure) -> None:
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(harmless.elements)
    assert "default-src 'none'" in page(explanation("abc", "d"))


def test_what_cannot_be_seen_is_shown() -> None:
    assert [symbol(token) for token in (" ", "\n", "", "a\x00", "é")] == ["␣", "⏎", "∅", "a\\x00", "é"]
