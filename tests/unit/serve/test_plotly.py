"""plotly.js is served as a file, ahead of Dash."""

from __future__ import annotations

import flask
import pytest

from wfmon.serve import plotly


@pytest.fixture
def client():
    server = flask.Flask("server", static_folder=None)
    server.add_url_rule(
        "/_dash-component-suites/<string:package>/<path:rest>", "dash", lambda package, rest: "Dash's own"
    )
    server.register_blueprint(plotly.routes())
    return server.test_client()


def test_the_file_comes_whole_and_may_be_kept_when_its_name_bears_the_version(client):
    answer = client.get(f"{plotly.FOLDER}plotly.v7_1_0m1795863936.min.js")
    assert answer.status_code == 200
    assert answer.mimetype == "text/javascript"
    assert len(answer.data) > 1_000_000
    assert answer.cache_control.max_age == plotly.YEAR_S
    answer.close()


def test_what_the_browser_has_is_not_sent_again(client):
    first = client.get(f"{plotly.FOLDER}plotly.min.js")
    first.close()
    again = client.get(f"{plotly.FOLDER}plotly.min.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    again.close()


@pytest.mark.parametrize("name", ["widgetbundle.js", "plotly.min.js.map", "plotly.v1.min.js", "x", "..%2f__init__.py"])
def test_nothing_else_of_the_package_is_served(client, name):
    answer = client.get(plotly.FOLDER + name)
    assert answer.status_code == 404 or answer.text == "Dash's own"


def test_other_packages_are_dashs_own(client):
    assert client.get("/_dash-component-suites/dash/dcc/async-graph.js").text == "Dash's own"
