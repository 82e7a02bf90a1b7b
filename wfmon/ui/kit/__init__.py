"""Parts that all pages share: panels, tables, time ranges, the ids shared with the browser."""
