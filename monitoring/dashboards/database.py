"""database.py - PostgreSQL as postgres_exporter sees it: what the worker's statements cost, WAL, locks, dead rows.

Names are those of postgres_exporter 0.15 and newer with --collector.stat_statements, and of monitoring/postgres/queries.yaml;
monitoring/README.md says what an older exporter needs.
"""

from grafana import RED, YELLOW, Board, label_variable, lines, link, stat, steps

STATEMENTS = "topk(8, sum by (queryid) (rate(pg_stat_statements_%s{%%d}[%%r])))"


def at_a_glance(b):
    b.row("At a glance")
    b.add(
        stat(
            "Server",
            "bool_on_off",
            "Whether the exporter reaches PostgreSQL.",
            "min(pg_up{%})",
            thresholds=steps((1, "green"), first=RED),
            width=4,
        ),
        stat("Size", "bytes", "Of the chosen databases.", "sum(pg_database_size_bytes{%d})", width=4),
        stat("Sessions", "short", "Connected to the chosen databases.", "sum(pg_stat_database_numbackends{%d})", width=4),
        stat(
            "Commits",
            "ops",
            "Transactions committed a second, by whoever.",
            "sum(rate(pg_stat_database_xact_commit{%d}[%r]))",
            width=4,
        ),
        stat(
            "Cache hits",
            "percentunit",
            "Share of the blocks that were found in shared_buffers.",
            "sum(rate(pg_stat_database_blks_hit{%d}[%r])) / (sum(rate(pg_stat_database_blks_hit{%d}[%r])) + "
            "sum(rate(pg_stat_database_blks_read{%d}[%r])) > 0)",
            width=4,
            decimals=2,
        ),
        stat(
            "Waiting for a lock",
            "short",
            "Sessions that another one holds up.",
            "sum(pg_lock_waits_sessions{%d})",
            thresholds=steps((1, YELLOW)),
            width=4,
        ),
    )


def statements(b):
    b.row("Statements (pg_stat_statements)")
    b.add(
        lines(
            "Time by statement",
            "percentunit",
            "Seconds a second spent in the eight most expensive statements: the worker's are its COPY, its merge, the swap of "
            "the offsets row. Staging tables are per session, so each lane's "
            "COPY and merge have ids of their own. Texts: SELECT queryid, query FROM pg_stat_statements.",
            (STATEMENTS % "seconds_total", "{{queryid}}"),
            stack=True,
        ),
        lines("Calls by statement", "ops", "Executions a second.", (STATEMENTS % "calls_total", "{{queryid}}")),
        lines(
            "Rows by statement",
            "rowsps",
            "Rows that they copied, wrote or gave back a second.",
            (STATEMENTS % "rows_total", "{{queryid}}"),
        ),
        lines(
            "Mean time of a call",
            "s",
            "Of the eight slowest statements.",
            (
                "topk(8, sum by (queryid) (rate(pg_stat_statements_seconds_total{%d}[%r])) / (sum by (queryid) "
                "(rate(pg_stat_statements_calls_total{%d}[%r])) > 0))",
                "{{queryid}}",
            ),
            width=12,
        ),
        lines(
            "Waiting for disk by statement",
            "percentunit",
            "Seconds a second spent reading and writing blocks; needs track_io_timing = on.",
            (
                "topk(8, sum by (queryid) (rate(pg_stat_statements_block_read_seconds_total{%d}[%r]) + "
                "rate(pg_stat_statements_block_write_seconds_total{%d}[%r])))",
                "{{queryid}}",
            ),
            width=12,
        ),
    )


def wal(b):
    b.row("WAL and checkpoints")
    b.add(
        lines(
            "WAL written",
            "Bps",
            "Bytes of WAL a second, and how much of them full page images after checkpoints.",
            ("sum by (instance) (rate(pg_stat_wal_bytes_total{%}[%r]))", "{{instance}}"),
        ),
        lines(
            "Full page images",
            "ops",
            "Many: checkpoints follow each other too fast, raise max_wal_size.",
            ("sum by (instance) (rate(pg_stat_wal_fpi_total{%}[%r]))", "{{instance}}"),
        ),
        lines(
            "WAL kept",
            "bytes",
            "Size of pg_wal. It grows without end when a replication slot or the archiver stands still.",
            ("sum by (instance) (pg_wal_size_bytes{%})", "{{instance}}"),
        ),
    )


def locks(b):
    b.row("Locks and transactions")
    b.add(
        lines(
            "Locks by mode",
            "short",
            "Locks held or waited for. ShareUpdateExclusive is vacuum; AccessExclusive is DDL and blocks the worker.",
            ("sum by (mode) (pg_locks_count{%d})", "{{mode}}"),
        ),
        lines(
            "Longest wait for a lock",
            "s",
            "The worker gives up and tries again after postgres.lock_timeout.",
            ("max by (datname) (pg_lock_waits_oldest_seconds{%d})", "{{datname}}"),
        ),
        lines(
            "Commits and rollbacks",
            "ops",
            "Rollbacks of the worker are retries or dead letters being found.",
            ("sum by (datname) (rate(pg_stat_database_xact_commit{%d}[%r]))", "{{datname}} commits"),
            ("sum by (datname) (rate(pg_stat_database_xact_rollback{%d}[%r]))", "{{datname}} rollbacks"),
        ),
        lines(
            "Oldest transaction",
            "s",
            "While it is open, vacuum can remove nothing that is newer.",
            ("max by (datname) (pg_stat_activity_max_tx_duration{%d})", "{{datname}}"),
            width=12,
        ),
        lines(
            "Deadlocks",
            "short",
            "The worker tries again; many of them mean that something else writes the same rows in another order.",
            ("sum by (datname) (increase(pg_stat_database_deadlocks{%d}[%r]))", "{{datname}}"),
            width=12,
        ),
    )


def tables(b):
    b.row("Tables and bloat")
    b.add(
        lines(
            "Dead rows",
            "percentunit",
            "Dead rows against all rows, of the eight worst tables with at least 1,000 rows. Above one half vacuum does not "
            "keep up.",
            (
                "topk(8, sum by (schemaname, relname) (pg_stat_user_tables_n_dead_tup{%t}) / (sum by (schemaname, relname) "
                "(pg_stat_user_tables_n_live_tup{%t} + pg_stat_user_tables_n_dead_tup{%t}) > 1000))",
                "{{schemaname}}.{{relname}}",
            ),
            thresholds=steps((0.5, YELLOW)),
        ),
        lines(
            "Rows by table",
            "short",
            "Live rows, as estimated, of the eight largest tables.",
            ("topk(8, sum by (schemaname, relname) (pg_stat_user_tables_n_live_tup{%t}))", "{{schemaname}}.{{relname}}"),
        ),
        lines(
            "Changes by table",
            "rowsps",
            "Rows inserted, updated and deleted a second, of the eight busiest tables.",
            (
                "topk(8, sum by (schemaname, relname) (rate(pg_stat_user_tables_n_tup_ins{%t}[%r]) + "
                "rate(pg_stat_user_tables_n_tup_upd{%t}[%r]) + rate(pg_stat_user_tables_n_tup_del{%t}[%r])))",
                "{{schemaname}}.{{relname}}",
            ),
        ),
        lines(
            "HOT updates",
            "percentunit",
            "Share of the updates that touched no index; low values mean bloat in the indexes.",
            (
                "sum by (schemaname, relname) (rate(pg_stat_user_tables_n_tup_hot_upd{%t}[%r])) / (sum by (schemaname, relname) "
                "(rate(pg_stat_user_tables_n_tup_upd{%t}[%r])) > 0)",
                "{{schemaname}}.{{relname}}",
            ),
            width=12,
        ),
        lines(
            "Time since the last autovacuum",
            "s",
            "Of tables that had one.",
            (
                "topk(8, time() - max by (schemaname, relname) (pg_stat_user_tables_last_autovacuum{%t} > 0))",
                "{{schemaname}}.{{relname}}",
            ),
            width=12,
        ),
    )


def board():
    variables = [
        label_variable("job", "Job", "label_values(pg_up, job)", "Jobs of postgres_exporter."),
        label_variable("instance", "Instance", 'label_values(pg_up{job=~"$job"}, instance)', "Exporters, one per server."),
        label_variable(
            "datname",
            "Database",
            'label_values(pg_database_size_bytes{job=~"$job",instance=~"$instance"}, datname)',
            "Databases of the servers.",
        ),
    ]
    b = Board(
        "memingest-database",
        "memingest / Database",
        "PostgreSQL under the worker, by postgres_exporter: statements, WAL, locks, dead rows.",
        variables,
        [link("Overview", "memingest-overview"), link("Fleet", "memingest-fleet")],
    )
    for section in (at_a_glance, statements, wal, locks, tables):
        section(b)
    return b
