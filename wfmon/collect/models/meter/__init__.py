"""From events to rows, gauges and requests: one meter a model, and the best source of each server."""
