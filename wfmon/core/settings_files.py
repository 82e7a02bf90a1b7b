"""Loads, validates and saves settings: defaults < config.yaml < <data>/settings.json < command line.

An unknown key or an invalid value is an error that names the file, the line, the field and the fix.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wfmon.core.errors import NotSaved, SettingsError
from wfmon.core.settings import Setting, Settings, catalogue, data_folder

MAX_CONFIG_BYTES = 1_000_000


def load(
    config: Path | None = None, data_dir: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Load the settings. ``overrides``: by dotted name, from the command line. Raises SettingsError."""
    folder = data_folder(data_dir)
    rows = {row.name: row for row in catalogue()}
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    beneath: dict[str, tuple[Any, str]] = {}
    layers: list[tuple[str, dict[str, tuple[Any, str]]]] = []
    if config is not None:
        layers.append((config.name, _read_yaml(config)))
    saved = folder / "settings.json"
    if saved.exists():
        layers.append(("settings.json", _read_json(saved)))
    layers.append(("command line", {k: (v, "command line") for k, v in (overrides or {}).items()}))
    for layer, found in layers:
        for name, (value, place) in found.items():
            if name not in rows:
                raise SettingsError(f"{place}: unknown setting {name!r}{_nearest(name, rows)}.")
            if layer == "settings.json":
                beneath[name] = values.get(name, rows[name].default), origin.get(name, "default")
            values[name] = _checked(rows[name], value, f"{place}: ")
            origin[name] = layer
    built: Settings = _build(Settings, values, "")
    return dataclasses.replace(built, data_dir=folder, origin=origin, beneath=beneath)


def save_change(settings: Settings, name: str, value: Any) -> None:  # noqa: ANN401
    """Save a change made in the page to <data>/settings.json (0600, atomically). Raises SettingsError, NotSaved."""
    save_changes(settings, {name: value})


_SAVING = threading.Lock()
"""Held from reading the file to writing it: concurrent changes would be lost."""


def save_changes(settings: Settings, changes: Mapping[str, Any]) -> None:
    """Save several changes, all or none; None removes a setting. Any thread. Raises SettingsError, NotSaved."""
    new = {name: None if value is None else checked(name, value, "settings.json: ") for name, value in changes.items()}
    path = settings.data_dir / "settings.json"
    try:
        with _SAVING:
            found = {key: val for key, (val, _) in _read_json(path).items()} if path.exists() else {}
            kept = {name: value for name, value in {**found, **new}.items() if value is not None}
            scratch = path.with_suffix(".tmp")
            with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                json.dump(kept, out, indent=1, sort_keys=True)
            scratch.replace(path)
    except (OSError, SettingsError) as error:
        raise NotSaved(error) from error


def checked(name: str, value: Any, place: str = "") -> Any:  # noqa: ANN401
    """Convert a value to its setting's type. Raises SettingsError, which begins with ``place``."""
    rows = {row.name: row for row in catalogue()}
    if name not in rows:
        raise SettingsError(f"{place}unknown setting {name!r}{_nearest(name, rows)}.")
    return _checked(rows[name], value, place)


def _build(cls: type[Any], values: Mapping[str, Any], prefix: str) -> Any:  # noqa: ANN401
    types = typing.get_type_hints(cls)
    given: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        name = prefix + item.name
        if dataclasses.is_dataclass(types[item.name]):
            given[item.name] = _build(typing.cast("type[Any]", types[item.name]), values, name + ".")
        elif name in values:
            given[item.name] = values[name]
    return cls(**given)


def _checked(row: Setting, value: Any, place: str) -> Any:  # noqa: ANN401
    """Convert a value to the setting's type. Raises SettingsError naming the place, the field and the fix."""
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[row.type]
    fits = (
        isinstance(value, bool)
        if row.type is bool
        else isinstance(value, str)
        if row.type is str
        else isinstance(value, int if row.type is int else (int, float)) and not isinstance(value, bool)
    )
    if not fits:
        raise SettingsError(f"{place}{row.name} must be {wanted}, not {value!r}.")
    if row.choices and value not in row.choices:
        raise SettingsError(f"{place}{row.name} must be one of {', '.join(row.choices)}, not {value!r}.")
    if row.low is not None and not row.low <= value <= (row.high if row.high is not None else float("inf")):
        raise SettingsError(f"{place}{row.name} must be from {row.low:,.15g} to {row.high:,.15g}, not {value!r}.")
    return float(value) if row.type is float else value


def _nearest(name: str, rows: Mapping[str, Setting]) -> str:
    import difflib

    near = difflib.get_close_matches(name, rows, 1)
    return f"; did you mean {near[0]!r}?" if near else "; docs/settings.md lists them all"


def _read_yaml(path: Path) -> dict[str, tuple[Any, str]]:
    """Parse config.yaml into {dotted name: (value, "config.yaml line 3")}."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise SettingsError(f"{path}: larger than {MAX_CONFIG_BYTES:,} bytes; is it the right file?")
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; --config needs the path of a config.yaml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)}).") from None
    found: dict[str, tuple[Any, str]] = {}
    if root is not None:
        _walk(root, "", path, found)
    return found


def _walk(node: yaml.Node, prefix: str, path: Path, found: dict[str, tuple[Any, str]]) -> None:
    place = f"{path.name} line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{place}: {prefix.rstrip('.') or 'the file'} must be a mapping of names to values.")
    sections = {row.name.rpartition(".")[0] for row in catalogue()} | {"collect"}
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        place = f"{path.name} line {key.start_mark.line + 1}"
        if name in sections:
            if not (isinstance(value, yaml.ScalarNode) and value.tag.endswith(":null")):
                _walk(value, name + ".", path, found)
        elif name in found:
            raise SettingsError(f"{place}: {name} occurs twice.")
        else:
            loader = yaml.SafeLoader("")
            try:
                found[name] = (loader.construct_object(value, deep=True), place)
            except yaml.YAMLError as error:
                raise SettingsError(f"{place}: {name} cannot be read ({error}).") from None


def _read_json(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}); correct it or move it away.") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: must be an object of setting names; correct it or move it away.")
    return {name: (value, path.name) for name, value in found.items()}
