"""Every page, laid out as a browser gets it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import dash
import flask
import pytest
from dash.development.base_component import Component

import callbacks
from tests.kit.services import FakeServices
from wfmon.collect import monitor, network, system
from wfmon.core.catalogue import METRICS, WATCHED_TABLES
from wfmon.core.errors import NotSaved
from wfmon.core.types import CollectorStatus
from wfmon.ui import shell
from wfmon.ui.kit import notices, panels, parts, tables

ROOT = Path(__file__).parents[3]
STATUSES = [
    CollectorStatus("system", "running", rate_hz=10, cpu_percent=0.42, beats=100),
    CollectorStatus("gpu", "absent", "no NVIDIA driver: libnvidia-ml not found", rate_hz=10),
    CollectorStatus("network", "off", "switched off", rate_hz=1),
    CollectorStatus("ux", "running"),
]
LIVE = ("overview", "models", "system", "experience", "network")
"""Pages of live charts and figures."""
PANELED = (*LIVE, "requests", "insights", "settings")
"""Pages that are made of panels."""
PAGES = (*PANELED, "history")
SIDEBAR = (
    "overview", "models", "system", "experience", "network", "history", "requests", "insights", "settings"
)  # fmt: skip
STORE = {
    "state": "recording", "reason": "", "since_ms": None, "notice": "", "path": "/nowhere/wfmon.db", "from_ms": None,
    "usage": {"bytes": 0, "free_bytes": 0, "wal_bytes": 0, "tiers": [], "series": {}, "tables": {}},
    "keep": {"tiers": [], "tables": {}, "max_bytes": 500_000_000},
}  # fmt: skip


@pytest.fixture(scope="module")
def services() -> FakeServices:
    made = FakeServices('a"<token>')
    made.live.statuses = STATUSES
    made.store.said_status, made.store.retention_rows = STORE, []
    made.settings.rows = [
        {"name": name, "value": value, "default": value, "origin": "default", "restart": True, "help": "Help."}
        for name, value in (("energy.smoothing", 0.4), ("stream.rate_hz", 60))
    ]
    return made


@pytest.fixture(scope="module")
def app(services):
    server = flask.Flask("wfmon", static_folder=None)
    server.extensions["wfmon"] = services
    app = shell.App(
        "wfmon", server=server, use_pages=True, pages_folder=str(ROOT / "pages"), assets_folder=str(ROOT / "assets"),
        assets_path_ignore=["lib", "fonts"], index_string=shell.index_string(), include_pages_meta=False,
        enable_mcp=False, serve_locally=True, title="wfmon", update_title="", suppress_callback_exceptions=True,
    )  # fmt: skip
    app.layout = shell.layout
    callbacks.register(app)
    yield app
    dash.page_registry.clear()


@pytest.fixture(scope="module")
def layouts(app) -> dict[str, Component]:
    with app.server.app_context():
        return {page["icon"]: page["layout"]() for page in dash.page_registry.values() if "icon" in page}


def walk(component: object) -> Iterator[Component]:
    """Give a component and all below it."""
    if isinstance(component, Component):
        yield component
        yield from walk(getattr(component, "children", None))
    elif isinstance(component, (list, tuple)):
        for child in component:
            yield from walk(child)


def props(layout: Component, name: str) -> list[str]:
    return [getattr(each, name) for each in walk(layout) if hasattr(each, name)]


def kinds(layout: Component, *names: str) -> list[Component]:
    return [each for each in walk(layout) if type(each).__name__ in names]


def metrics_in(selector: str) -> list[str]:
    return re.findall(r"([a-z_]+\.[a-z0-9_]+)(?:\{[^}]*\})?", selector)


every_page = pytest.mark.parametrize("page", PAGES)
live_page = pytest.mark.parametrize("page", LIVE)
paneled_page = pytest.mark.parametrize("page", PANELED)


def test_the_pages_are_those_that_exist_in_the_sidebars_order(layouts):
    assert tuple(layouts) == SIDEBAR
    assert set(PAGES) == set(SIDEBAR)


def test_pages_are_named_in_their_measurements_as_their_addresses_are(app):
    assert shell.page_names() == set(PAGES)


@live_page
def test_a_page_draws_no_more_charts_than_one_frame_bears(layouts, page):
    assert 0 < len(props(layouts[page], "data-chart")) <= 14


@live_page
def test_every_selector_names_a_metric_of_the_catalogue(layouts, page):
    selectors = [s for chart in props(layouts[page], "data-chart") for s in json.loads(chart)["series"]]
    selectors += props(layouts[page], "data-value") + props(layouts[page], "data-meter")
    names = [name for selector in selectors for name in metrics_in(selector)]
    assert names
    assert set(names) <= set(METRICS)


@every_page
def test_labels_in_selectors_are_those_of_the_metric(layouts, page):
    for selector in props(layouts[page], "data-value"):
        for name, labels in re.findall(r"([a-z_.0-9]+)\{([^}]*)\}", selector):
            assert re.findall(r"(\w+)=", labels) == list(METRICS[name].labels)


@every_page
def test_the_series_of_a_chart_share_its_unit_and_have_a_label(layouts, page):
    for chart in map(json.loads, props(layouts[page], "data-chart")):
        assert {METRICS[parts.metric_of(s).name].unit for s in chart["series"]} == {chart["unit"]}
        assert len(chart["label"]) > 3
        assert len(chart["colors"]) == len(chart["series"])
        if "names" in chart:
            assert len(chart["names"]) == len(chart["series"])


@paneled_page
def test_panels_have_keys_of_their_own_a_title_and_a_way_out(layouts, page):
    sections = kinds(layouts[page], "Section")
    keys = [getattr(each, "data-panel") for each in sections]
    assert len(keys) == len(set(keys)) > 0
    for section in sections:
        title = kinds(section, "H2", "H3")[0]
        assert getattr(section, "aria-labelledby") == title.id
        assert len(props(section, "data-menu")) == 1
        assert props(section, "data-arrange-do") == ["earlier", "later", "hide"]


@every_page
def test_a_panel_with_a_chart_says_whose_absence_it_shows(layouts, page):
    for section in kinds(layouts[page], "Section"):
        charts = [json.loads(chart) for chart in props(section, "data-chart")]
        owners = {METRICS[parts.metric_of(s).name].collector for chart in charts for s in chart["series"]}
        if owners:
            assert owners == {getattr(section, "data-collector")}
            assert props(section, "data-looked") == [getattr(section, "data-collector")]


@every_page
def test_headings_go_down_one_step_at_a_time(layouts, page):
    levels = [int(type(each).__name__[1]) for each in kinds(layouts[page], "H1", "H2", "H3", "H4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@every_page
def test_ids_are_there_once(layouts, page):
    found = [json.dumps(each, sort_keys=True) for each in props(layouts[page], "id")]
    assert len(found) == len(set(found))


@every_page
def test_tables_have_captions_and_buttons_have_names(layouts, page):
    for table in kinds(layouts[page], "Table"):
        assert kinds(table, "Caption")[0].children
        assert all(th.scope in {"col", "row"} for th in kinds(table, "Th"))
    for button in kinds(layouts[page], "Button"):
        words = isinstance(getattr(button, "children", None), str) and button.children
        assert words or getattr(button, "aria-label", None) or getattr(button, "aria-labelledby", None)


@every_page
def test_live_tables_are_among_those_that_are_made(layouts, page):
    assert set(props(layouts[page], "data-table")) <= set(WATCHED_TABLES)


@pytest.mark.parametrize(
    ("make", "columns"),
    [(tables.processes, system.COLUMNS), (tables.listeners, network.COLUMNS), (tables.threads, monitor.COLUMNS)],
)
def test_a_table_asks_for_columns_that_its_collector_gives(make, columns):
    assert set(props(make(), "data-col")) <= set(columns)


def test_every_watched_table_is_shown_somewhere(layouts):
    shown = {
        name
        for layout in layouts.values()
        for names in (*props(layout, "data-table"), *props(layout, "data-watches"))
        for name in names.split()
    }
    assert shown == set(WATCHED_TABLES)


def test_every_metric_of_the_machine_is_shown_somewhere(layouts):
    text = " ".join(
        selector
        for layout in layouts.values()
        for selector in (*props(layout, "data-chart"), *props(layout, "data-value"), *props(layout, "data-series"))
    )
    left_to_the_api = {
        "gpu.fan_percent",
        "gpu.memory_clock_mhz",
        "gpu.memory_percent",
        "monitor.beats_skipped_total",
        "monitor.thread_cpu_percent",
        "system.swap_percent",
    }
    missing = {name for name in METRICS if name not in text}
    assert missing == left_to_the_api


@pytest.mark.parametrize("name", ["overview", "experience"])
def test_the_monitors_own_cpu_is_never_cut_off(layouts, name):
    charts = [json.loads(spec) for each in walk(layouts[name]) if (spec := getattr(each, "data-chart", None))]
    own = [each for each in charts if "monitor.cpu_percent" in each["series"]]
    assert [(each["max"], each["reach"]) for each in own] == [(None, 10)]


def test_a_name_that_is_not_in_the_catalogue_is_an_error_at_layout():
    with pytest.raises(KeyError, match=r"system\.typo"):
        parts.chart("system.typo", label="nothing")
    with pytest.raises(KeyError, match=r"system\.typo"):
        parts.value("system.typo")


def test_collectors_have_a_switch_that_shows_how_they_stand(layouts):
    switches = {
        getattr(each, "data-switch"): each
        for each in kinds(layouts["system"], "Button")
        if hasattr(each, "data-switch")
    }
    assert {name: getattr(each, "aria-checked") for name, each in switches.items()} == {
        "system": "true", "gpu": "true", "network": "false", "ux": "true",
    }  # fmt: skip
    assert all(each.role == "switch" for each in switches.values())


def test_a_collector_without_a_rate_is_pushed():
    table = tables.collectors(STATUSES)
    rates = [each.children for each in kinds(table, "Td") if getattr(each, "data-field", "") == "rate_hz"]
    assert rates == ["10 Hz", "10 Hz", "1 Hz", "pushed"]


def test_a_machine_of_many_cores_shows_them_densely():
    assert len(kinds(tables.core_meters(64), "Li")) == 64
    assert "dense" in kinds(tables.core_meters(64), "Ul")[0].className
    assert "dense" not in kinds(tables.core_meters(8), "Ul")[0].className
    assert kinds(tables.core_meters(1), "P")[0].children == "1 core"


def test_a_panel_without_a_collector_never_looks_absent():
    layout = panels.page("p", "P", panels.Group((panels.Panel("a", "A", "text"),)))
    assert props(layout, "data-looked") == []
    assert props(layout, "data-collector") == []


def click(app, name: str) -> flask.wrappers.Response:
    wanted = f'{{"name":"{name}","type":"collector-switch"}}'
    body = {
        "output": '{"name":["MATCH"],"type":"collector-switch"}.aria-checked',
        "outputs": {"id": {"name": name, "type": "collector-switch"}, "property": "aria-checked"},
        "inputs": [{"id": {"name": name, "type": "collector-switch"}, "property": "n_clicks", "value": 1}],
        "state": [
            {"id": {"name": name, "type": "collector-switch"}, "property": "id",
             "value": {"name": name, "type": "collector-switch"}}
        ],
        "changedPropIds": [f"{wanted}.n_clicks"],
    }  # fmt: skip
    return app.server.test_client().post("/_dash-update-component", json=body)


@pytest.mark.parametrize(("name", "turned_on"), [("system", False), ("network", True)])
def test_a_click_on_a_switch_turns_the_collector(app, services, name, turned_on):
    services.live.switched.clear()
    answer = click(app, name)
    assert answer.status_code == 200
    assert services.live.switched == {name: turned_on}
    (response,) = answer.get_json()["response"].values()
    assert response == {"aria-checked": str(turned_on).lower()}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotSaved(OSError(28, "No space left on device")), "No space left on device). Repair or free the data folder"),
        (ZeroDivisionError("a secret path"), notices.UNFORESEEN),
    ],
)
def test_what_a_callback_cannot_do_is_said_on_the_page_and_the_switch_stays(app, monkeypatch, error, words):
    def fail(**_asked):
        raise error

    monkeypatch.setattr(app.server.extensions["wfmon"].settings, "switch_collector", fail)
    answer = click(app, "system").get_json()
    assert answer.get("response", {}) == {}
    shown = answer["sideUpdate"]
    assert words in shown[notices.TEXT]["children"]
    assert shown[notices.NOTICE] == {"hidden": False}


@every_page
def test_a_query_in_the_address_does_no_harm(app, page):
    path = next(each["path"] for each in dash.page_registry.values() if each.get("icon") == page)
    body = {
        "output": ".._pages_content.children..._pages_store.data..",
        "outputs": [{"id": "_pages_content", "property": "children"}, {"id": "_pages_store", "property": "data"}],
        "inputs": [
            {"id": "_pages_location", "property": "pathname", "value": path},
            {"id": "_pages_location", "property": "search", "value": "?a=1&path=x"},
        ],
        "changedPropIds": ["_pages_location.pathname"],
    }
    client = app.server.test_client()
    client.get("/")
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200
    assert f'"page-{page}"' in answer.text
