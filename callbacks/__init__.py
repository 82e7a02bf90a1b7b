"""What the pages do: each file mirrors one page, inputs in, one call into wfmon, a component out."""
