"""The manual is true: tables, routes, commands, options and links are those of the code."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wfmon.collect import ux
from wfmon.core import settings, settings_files
from wfmon.core.catalogue import METRICS

ROOT = Path(__file__).resolve().parents[2]
MANUAL = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in MANUAL]


def loaded(path):
    """A script of ours as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_docs = loaded(ROOT / "scripts" / "make_docs.py")
tables = loaded(ROOT / "bench" / "tables.py")


@pytest.mark.parametrize("page", make_docs.PAGES)
def test_a_generated_page_is_current(page):
    assert (ROOT / page).read_text("utf-8") == make_docs.PAGES[page](), f"{page} is stale: run `make docs`"


def test_every_metric_has_a_row():
    rows = re.findall(r"^\| `([\w.]+)", (ROOT / "docs/metrics.md").read_text("utf-8"), re.MULTILINE)
    assert rows == list(METRICS)


def test_every_setting_has_a_row():
    rows = re.findall(r"^\| `([\w.]+)`", (ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE)
    assert rows == [row.name for row in settings.catalogue()]


def test_config_yaml_shows_every_setting_with_its_default(tmp_path):
    loaded = settings_files.load(ROOT / "config.yaml", tmp_path)
    assert {row.name: settings.value_of(loaded, row.name) for row in settings.catalogue()} == {
        row.name: row.default for row in settings.catalogue()
    }
    assert sorted(loaded.origin) == sorted(row.name for row in settings.catalogue())


@pytest.mark.parametrize("page", MANUAL, ids=NAMES)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```|<!--.*?-->", "", page.read_text("utf-8"), flags=re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            dead.append(target)
    assert dead == []


def headings(page):
    """The anchors that a page's headings make."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_table_of_contents_names_every_page():
    contents = (ROOT / "docs/index.md").read_text("utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in contents} == set()


def test_every_file_of_the_walks_exists_and_none_is_met_twice():
    record = (ROOT / "docs/adr/0001-the-way-of-a-sample.md").read_text("utf-8")
    walks = record.partition("## Four walks")[2].partition("## Consequences")[0].split("\n### ")[1:]
    assert len(walks) == 4
    for walk in walks:
        steps = re.findall(r"^\| \d+ \| `([\w/.-]+)`", walk, re.MULTILINE)
        assert len(steps) == len(set(steps)) > 9
        assert [step for step in re.findall(r"`([\w-]+/[\w/.-]+\.\w+)`", walk) if not (ROOT / step).is_file()] == []


def makefile_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", MANUAL, ids=NAMES)
def test_every_make_command_in_the_manual_exists(page):
    code = re.findall(r"```.*?```|`[^`\n]+`", page.read_text("utf-8"), re.DOTALL)
    named = {target for piece in code for target in re.findall(r"(?:^|[`\n])make ([a-z][a-z-]*)", piece)}
    assert named - makefile_targets() == set()


def test_make_alone_explains_every_target():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = dict(re.findall(r"^ +make ([a-z-]+) +(.+)$", done.stdout, re.MULTILINE))
    assert set(explained) == makefile_targets()


ROUTES = """
import json, pathlib, sys, app
from wfmon.core import settings_files
server = app.create_app(settings_files.load(None, pathlib.Path(sys.argv[1]))).server
print(json.dumps([rule.rule for rule in server.url_map.iter_rules()]))
"""


def test_every_route_of_the_server_is_in_the_api_page(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ROUTES, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rules = [re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule) for rule in json.loads(done.stdout.splitlines()[-1])]
    ours = {rule for rule in rules if not re.match(r"/(_|assets/|$|\{path\}$)", rule)}
    assert "/api/v1/health" in ours
    page = (ROOT / "docs/api.md").read_text("utf-8")
    assert {rule for rule in ours if rule not in page} == set()


def test_the_bounds_of_a_pages_reports_are_those_of_the_code():
    page = (ROOT / "docs/collectors.md").read_text("utf-8")
    assert f"More than {ux.REPORTS_PER_SECOND} reports a second from one client" in page
    assert f"{ux.MAX_CLIENTS} clients, or {ux.MAX_WAITING:,} waiting reports" in page


def test_the_figures_in_the_readme_are_rows_of_the_measured_ones():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = readme.partition("<!-- figures:begin -->")[2].partition("<!-- figures:end -->")[0].strip()
    assert shown == tables.readme_table((ROOT / "docs/measured.md").read_text("utf-8"))
    assert "MISSED" not in shown


def test_the_readme_is_read_in_one_go():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_tree_in_the_readme_names_every_folder_of_wfmon():
    tree = (ROOT / "README.md").read_text("utf-8").partition("## The tree")[2]
    named = set(re.findall(r"^wfmon/(\w+)/ ", tree, re.MULTILINE))
    assert named == {path.parent.name for path in (ROOT / "wfmon").glob("*/__init__.py")}


def test_the_readme_names_every_option_of_the_app():
    done = subprocess.run(
        [sys.executable, ROOT / "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = set(re.findall(r"^\| `(--[a-z-]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    assert named == set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))
