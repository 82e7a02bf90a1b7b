"""The tables of promises: printed as Markdown, kept in docs/measured.md, and ten rows of them in the README."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
MEASURED = ROOT / "docs" / "measured.md"
README_ROWS = (
    ("promises", "live page, frames a second"),
    ("promises", "frame interval p95"),
    ("promises", "sample to end of its draw p99"),
    ("promises", "all collectors, of one core"),
    ("promises", "RSS, 5 clients, default load"),
    ("promises", "RSS, 5 clients, 10,000 samples/s"),
    ("promises", "10,000 samples/s through process and window"),
    ("promises", "50 clients at 60 Hz"),
    ("store", "30 days x 200 series"),
    ("store", "history query, one series, 30 d"),
)
"""What the README shows of docs/measured.md: the table, and how the row begins."""


def markdown(rows: list[tuple[str, str, str, str]]) -> str:
    """Rows (what, promised, measured, whether it holds) as a Markdown table."""
    head = ["| what | promised | measured | |", "| --- | --- | --- | --- |"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in rows])


def write(rows: list[tuple[str, str, str, str]], facts: dict, name: str, beside: str) -> None:
    """Put a table between its marks in docs/measured.md, and its rows of README_ROWS into the README.

    ``facts``: what ``machine`` returned. ``beside``: what else it was measured with.
    """
    where = (
        f"{facts['cores']} cores ({facts['cpu']}), {facts['system']}, Python {facts['python']}, {facts['date'][:10]}"
    )
    _between(MEASURED, name, f"{markdown(rows)}\n\nMeasured on {where}, {beside}.")
    _between(ROOT / "README.md", "figures", readme_table(MEASURED.read_text("utf-8")))


def readme_table(measured: str) -> str:
    """The README's table, out of the text of docs/measured.md. Raises ValueError unless each row is there once."""
    found = []
    for name, begins in README_ROWS:
        table = measured.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0]
        [row] = [line for line in table.splitlines() if line.startswith(f"| {begins}")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        found.append((cells[0], cells[1], cells[2], cells[3]))
    return markdown(found)


def _between(path: Path, name: str, text: str) -> None:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = path.read_text("utf-8").partition(begin)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", "utf-8")
