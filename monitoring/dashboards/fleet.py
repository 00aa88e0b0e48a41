"""fleet.py - all deployments of memingest, a line each, with links into the overview."""

from grafana import GREEN, RED, YELLOW, Board, column, label_variable, lines, link, steps, table
from rules import limit

FRESH = steps((limit("MemingestFreshnessLow"), YELLOW), (limit("MemingestFreshnessBreached"), RED))
TO_OVERVIEW = [
    {
        "title": "Overview of ${__data.fields.job}",
        "url": "/d/memingest-overview?var-job=${__data.fields.job}&${datasource:queryparam}&${__url_time_range}",
        "targetBlank": False,
    }
]
SERIES_TO_OVERVIEW = [
    {
        "title": "Overview of ${__field.labels.job}",
        "url": "/d/memingest-overview?var-job=${__field.labels.job}&${datasource:queryparam}&${__url_time_range}",
        "targetBlank": False,
    }
]

# title, unit, thresholds, query. The queries of one table: each gives one value per job.
COLUMNS = [
    ("Freshness", "s", FRESH, "max by (job) (job_stream:memingest_stream_lag_seconds:max{%j})"),
    (
        "Events waiting",
        "short",
        steps((limit("MemingestLagGrowing", 0), YELLOW)),
        "sum by (job) (memingest_stream_lag_records{%})",
    ),
    ("Rows a second", "rowsps", None, "sum by (job) (rate(memingest_records_merged_total{%}[%r]))"),
    ("Dead letters, 1 h", "short", steps((1, YELLOW)), "sum by (job) (increase(memingest_dead_letters_total{%}[1h]))"),
    ("Workers", "short", steps((1, GREEN), first=RED), 'sum by (job) (memingest_state_info{%,state="running"})'),
    ("Sessions", "short", steps((1, GREEN), first=RED), "sum by (job) (memingest_postgres_connections{%})"),
    ("Halted partitions", "short", steps((1, RED)), "sum by (job) (memingest_halted_partitions{%})"),
    (
        "Unassigned partitions",
        "short",
        steps((1, RED)),
        "sum by (job) (max by (job, stream, topic) (memingest_topic_partitions{%})) - sum by (job) "
        "(memingest_assigned_partitions{%})",
    ),
    ("Versions", "short", steps((2, YELLOW)), "count by (job) (count by (job, version) (memingest_build_info{%}))"),
]


def board():
    variables = [
        label_variable("job", "Job", "label_values(memingest_build_info, job)", "Deployments, as Prometheus names them."),
        label_variable("instance", "Instance", 'label_values(memingest_build_info{job=~"$job"}, instance)', "Workers."),
    ]
    b = Board(
        "memingest-fleet",
        "memingest / Fleet",
        "All deployments, a line each.",
        variables,
        [link("Overview", "memingest-overview"), link("Database", "memingest-database")],
    )
    columns = [column("job", "Deployment", "string", links=TO_OVERVIEW, width=260)]
    columns += [
        column(f"Value #{chr(ord('A') + i)}", title, unit, thresholds) for i, (title, unit, thresholds, _) in enumerate(COLUMNS)
    ]
    b.row("Now")
    b.add(
        table(
            "Deployments",
            "One line per job; a click on its name opens its overview. Colours change where alerts fire.",
            ["job"],
            [query for *_, query in COLUMNS],
            columns,
            height=10,
            sort="Freshness",
        )
    )
    b.row("Over time")
    b.add(
        lines(
            "Freshness",
            "s",
            "Age of the oldest event that cannot be seen in PostgreSQL, worst stream. Dashed lines: where the alerts fire.",
            ("max by (job) (job_stream:memingest_stream_lag_seconds:max{%j})", "{{job}}"),
            thresholds=FRESH,
            links=SERIES_TO_OVERVIEW,
        ),
        lines(
            "Rows written",
            "rowsps",
            "Events a second whose row was inserted, updated or deleted.",
            ("sum by (job) (rate(memingest_records_merged_total{%}[%r]))", "{{job}}"),
            links=SERIES_TO_OVERVIEW,
        ),
        lines(
            "Dead letters",
            "eps",
            "Events a second written to memingest.dead_letters.",
            ("sum by (job) (rate(memingest_dead_letters_total{%}[%r]))", "{{job}}"),
            links=SERIES_TO_OVERVIEW,
        ),
    )
    return b
