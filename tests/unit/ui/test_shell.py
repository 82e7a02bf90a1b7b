"""The frame around every page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import dash
import flask
import pytest

from tests.kit.services import FakeServices
from wfmon.ui import shell

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def client():
    server = flask.Flask("wfmon", static_folder=None)
    server.extensions["wfmon"] = FakeServices('a"<token>')
    app = shell.App(
        "wfmon", server=server, use_pages=True, pages_folder=str(ROOT / "pages"), assets_folder=str(ROOT / "assets"),
        assets_path_ignore=["lib", "fonts"], index_string=shell.index_string(), include_pages_meta=False,
        enable_mcp=False, serve_locally=True, title="wfmon", update_title="", suppress_callback_exceptions=True,
    )  # fmt: skip
    app.layout = shell.layout
    yield server.test_client()
    dash.page_registry.clear()


@pytest.fixture(scope="module")
def page(client) -> str:
    return client.get("/system").text


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_carries_its_token_and_it_cannot_break_out(page):
    assert '<meta name="wfmon-token" content="a&quot;&lt;token&gt;">' in page


def test_no_placeholder_is_left(page):
    assert re.findall(r"\{%\w+%\}", page) == []


def test_the_sidebar_has_the_pages_in_order_and_knows_where_it_is(page):
    links = [attrs for tag, attrs in Tags(page).found if tag == "a" and "title" in attrs]
    assert [(each["title"], each["href"]) for each in links] == [
        ("Overview", "/"), ("Models", "/models"), ("System", "/system"), ("Experience", "/experience"),
        ("Network", "/network"), ("History", "/history"), ("Requests", "/requests"), ("Insights", "/insights"),
        ("Settings", "/settings"),
    ]  # fmt: skip
    assert [each["title"] for each in links if each.get("aria-current") == "page"] == ["System"]


def test_every_button_of_the_frame_has_a_name_and_does_not_send_a_form(page):
    body = page[page.index("<body>") : page.index("_dash-config")]
    for attributes, content in re.findall(r"<button([^>]*)>(.*?)</button>", body, re.DOTALL):
        words = re.sub(r"<svg.*?</svg>|<[^>]+>", "", content, flags=re.DOTALL).strip()
        assert words or 'aria-label="' in attributes
        assert 'type="button"' in attributes


def test_there_is_one_of_each_landmark_and_a_way_past_them(page):
    tags = [tag for tag, _ in Tags(page).found]
    assert tags.count("nav") == 1
    assert tags.index("header") < tags.index("nav")
    assert '<a class="skip" href="#main">' in page


def test_nothing_is_loaded_from_elsewhere_and_no_script_of_ours_is_inline(page):
    tags = Tags(page).found
    addresses = [attrs[key] for _, attrs in tags for key in ("src", "href") if attrs.get(key)]
    assert all(address.startswith(("/", "#")) for address in addresses)
    own = shell.index_string()
    assert "<script" not in own
    assert not re.search(r"\son\w+=", own)


@pytest.mark.parametrize(
    ("cookie", "theme", "side"),
    [("", "", "open"), ("dark.folded", "dark", "folded"), (".open", "", "open"), ('"><script>.folded', "", "folded")],
)
def test_the_look_is_right_before_the_first_paint(client, cookie, theme, side):
    assert shell.parse_look(cookie) == (theme, side)
    client.set_cookie(shell.LOOK_COOKIE, cookie)
    assert f'<html lang="en" data-theme="{theme}" data-side="{side}"' in client.get("/").text


def test_each_shortcut_is_listed_and_the_keys_are_those_of_the_script():
    script = (ROOT / "assets" / "lib" / "shell" / "keys.mjs").read_text("utf-8")
    letters = dict(re.findall(r"(\w): \"(\w+)\"", script[script.index("PAGES") : script.index("SINGLE")]))
    listed = {keys[1]: words.lower() for keys, words in shell.SHORTCUTS if keys[0] == "g"}
    assert listed == letters
    singles = set(
        re.findall(
            r"(?:\"(\?)\"|\b([a-z])): \"", script[script.index("SINGLE") : script.index("};", script.index("SINGLE"))]
        )
    )
    assert {a or b for a, b in singles} <= {keys[0] for keys, _ in shell.SHORTCUTS}


def test_the_manual_names_every_key():
    manual = (ROOT / "docs" / "pages.md").read_text("utf-8")
    keys = {key for keys, _ in shell.SHORTCUTS for key in keys}
    assert {key for key in keys if f"`{key}`" not in manual} == set()
