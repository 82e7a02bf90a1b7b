"""Analysis of recorded data: history queries, statistics, insights, anomalies, causes of slow requests."""
