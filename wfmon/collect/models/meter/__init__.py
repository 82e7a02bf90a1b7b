"""From events to rows, gauges and requests: one meter per model, and the best source of each server."""
