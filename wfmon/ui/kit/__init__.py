"""Parts that every page is made of: panels, tables, ranges of time, the ids shared with the browser."""
