# Metrics, alerts and dashboards.
