"""overview.py - one deployment of memingest: what an operator wants to see first, then by the way of an event."""

from grafana import GREEN, RED, YELLOW, Board, annotation, heat, label_variable, lines, link, stat, steps
from rules import limit

FRESH = steps((limit("MemingestFreshnessLow"), YELLOW), (limit("MemingestFreshnessBreached"), RED))
BUDGET = limit("MemingestFreshnessBudgetBurningSlowly", 2)  # the share of the time that may be bad


def above(alert, color=RED, which=None):
    """A threshold where an alert's comparison "> limit" turns true; above 0 means from the first one on."""
    value = limit(alert, which)
    return steps((value or 1e-9, color))


def quantile(q, metric, by=None, legend=None, selector=None):
    """A quantile of a histogram, by a label or of all series."""
    labels, selector = (f"le, {by}" if by else "le"), selector or ("{%s}" if by == "stream" else "{%}")
    return (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{selector}[%r])))", legend or "{{%s}}" % by)


def quantiles(metric, selector="{%}"):
    return [quantile(q, metric, legend=f"p{q * 100:g}", selector=selector) for q in (0.5, 0.95, 0.99)]


def rate(series, by, legend=None):
    """Per second, summed by a label. series: "name{%s}"."""
    return (f"sum by ({by}) (rate({series}[%r]))", legend or "{{%s}}" % by)


def at_a_glance(b):
    b.row("At a glance")
    b.add(
        stat(
            "Freshness",
            "s",
            "Age of the oldest event that cannot be seen in PostgreSQL; 0 when there is none. Yellow and red where the freshness "
            "alerts fire.",
            "max(job_stream:memingest_stream_lag_seconds:max{%js})",
            thresholds=FRESH,
        ),
        stat(
            "Events waiting",
            "short",
            "Events in Kafka that are not durable in PostgreSQL.",
            "sum(memingest_stream_lag_records{%s})",
            thresholds=above("MemingestLagGrowing", YELLOW, 0),
        ),
        stat(
            "Rows written",
            "rowsps",
            "Events a second whose row was inserted, updated or deleted.",
            "sum(rate(memingest_records_merged_total{%s}[%r]))",
        ),
        stat(
            "Dead letter ratio now",
            "percentunit",
            "Share of the consumed events that became dead letters. Red where the alert fires.",
            "sum(rate(memingest_dead_letters_total{%s}[%r])) / (sum(rate(memingest_records_consumed_total{%s}[%r])) > 0) "
            "or vector(0)",
            thresholds=above("MemingestDeadLetterRatioHigh", which=1),
            decimals=2,
        ),
        stat(
            "Dead letters, 1 h",
            "short",
            "Events written to memingest.dead_letters within an hour.",
            "sum(increase(memingest_dead_letters_total{%s}[1h]))",
            thresholds=above("MemingestDeadLetters", YELLOW),
            decimals=0,
        ),
        stat(
            "Workers running",
            "short",
            "Workers that Prometheus reaches and that consume.",
            'sum(memingest_state_info{%,state="running"})',
            thresholds=steps((1, GREEN), first=RED),
        ),
        stat(
            "Unread partitions",
            "short",
            "Partitions of the topics that belong to no worker shown here. Red where the alert fires.",
            "sum(max by (job, stream, topic) (memingest_topic_partitions{%s})) - sum(memingest_assigned_partitions{%s})",
            thresholds=above("MemingestPartitionsUnassigned"),
        ),
        stat(
            "Version",
            "string",
            "Version of the workers; more than one name while they are being replaced.",
            "count by (version) (memingest_build_info{%})",
            legend="{{version}}",
            name=True,
        ),
    )


def freshness(b):
    b.row("Freshness and SLO")
    burn = steps(
        (round(limit("MemingestFreshnessBudgetBurning", 2) / BUDGET, 3), YELLOW),
        (round(limit("MemingestFreshnessBudgetBurning", 0) / BUDGET, 3), RED),
    )
    b.add(
        lines(
            "End to end latency",
            "s",
            "From the timestamp of a batch's oldest record in Kafka to its commit in PostgreSQL.",
            *quantiles("memingest_end_to_end_latency_seconds", "{%s}"),
            thresholds=steps((limit("MemingestFreshnessLow"), YELLOW)),
        ),
        lines(
            "Freshness by stream",
            "s",
            "Age of the oldest event that cannot be seen in PostgreSQL. Dashed lines: where the alerts fire.",
            ("job_stream:memingest_stream_lag_seconds:max{%js}", "{{stream}}"),
            thresholds=FRESH,
        ),
        lines(
            "Burn rate of the freshness budget",
            "none",
            "How many times faster than allowed the budget (1 % of 30 days over 60 s) is spent. Dashed lines: the "
            "two pairs of the fast alert, over 6 h and over 1 h.",
            ("job_stream:memingest_freshness_errors:avg_over_time1h{%js} / " f"{BUDGET:g}", "{{stream}} 1h"),
            ("job_stream:memingest_freshness_errors:avg_over_time6h{%js} / " f"{BUDGET:g}", "{{stream}} 6h"),
            thresholds=burn,
        ),
        heat(
            "End to end latency, distribution",
            "s",
            "Batches by the age of their oldest event at its commit.",
            "sum by (le) (increase(memingest_end_to_end_latency_seconds_bucket{%s}[%r]))",
        ),
        lines(
            "Fresh in the last 3 days",
            "percentunit",
            "Share of the last three days in which events were visible within 60 s. Dashed line: the objective.",
            ("1 - job_stream:memingest_freshness_errors:avg_over_time3d{%js}", "{{stream}}"),
            thresholds=steps((1 - BUDGET, GREEN), first=RED),
            width=12,
            low=0.9,
        ),
    )


def throughput(b):
    b.row("Throughput")
    b.add(
        lines("Events consumed", "eps", "Messages taken from Kafka.", rate("memingest_records_consumed_total{%s}", "stream")),
        lines(
            "Events decided",
            "eps",
            "Events that are through: written, void because of a newer one, of another type and skipped, or dead letters. In the "
            "long run as many as were consumed.",
            rate("memingest_records_merged_total{%s}", "stream", "{{stream}} written"),
            rate("memingest_records_superseded_total{%s}", "stream", "{{stream}} superseded"),
            rate("memingest_records_skipped_total{%s}", "stream", "{{stream}} skipped"),
            rate("memingest_dead_letters_total{%s}", "stream", "{{stream}} dead"),
            stack=True,
        ),
        lines(
            "Taken and not durable",
            "short",
            "Events that workers hold in open and sealed batches; bounded by batch.memory.",
            ("sum by (stream) (memingest_stream_in_flight_records{%s})", "{{stream}}"),
        ),
        lines(
            "Bytes consumed",
            "Bps",
            "Bytes of keys and values taken from Kafka.",
            rate("memingest_consumed_bytes_total{%s}", "stream"),
            width=12,
        ),
        lines(
            "Batches committed",
            "ops",
            "Transactions that wrote events.",
            rate("memingest_batches_committed_total{%s}", "stream"),
            width=12,
        ),
    )


def consumer(b):
    b.row("Consumer")
    b.add(
        lines(
            "Events waiting by partition",
            "short",
            "Only with http.partition_metrics on. A partition that alone falls behind has a hot key or is halted.",
            ("sum by (topic, partition) (memingest_consumer_lag_records{%s})", "{{topic}} {{partition}}"),
        ),
        lines(
            "Age by partition",
            "s",
            "Age of the oldest event that is not durable. Only with http.partition_metrics on.",
            ("max by (topic, partition) (memingest_consumer_lag_seconds{%s})", "{{topic}} {{partition}}"),
            thresholds=FRESH,
        ),
        lines(
            "Partitions by worker",
            "short",
            "Who reads how many partitions.",
            ("sum by (instance) (memingest_assigned_partitions{%s})", "{{instance}}"),
            stack=True,
        ),
        lines(
            "Rebalances",
            "short",
            "Assignments, revocations and losses within the interval.",
            ("sum by (instance, type) (increase(memingest_rebalances_total{%}[%r]))", "{{instance}} {{type}}"),
        ),
        lines(
            "Time spent in revocations",
            "s",
            "Open batches are written or dropped before a partition is given away.",
            quantile(0.99, "memingest_rebalance_duration_seconds", "instance"),
        ),
        lines(
            "Paused and halted partitions",
            "short",
            "Paused: intake waits for memory, a schema or a claim. Halted: waits for an operator, and an alert fires.",
            ("sum by (stream) (memingest_paused_partitions{%s})", "{{stream}} paused"),
            ("sum by (stream) (memingest_halted_partitions{%s})", "{{stream}} halted"),
        ),
        lines(
            "Fetched and not yet taken",
            "short",
            "Records in librdkafka's queues. Only with http.partition_metrics on.",
            ("sum by (topic) (memingest_rdkafka_fetch_queue_records{%})", "{{topic}}"),
            width=12,
        ),
        lines(
            "Offset commits to Kafka",
            "ops",
            "Commits that tell lag tools and autoscalers where PostgreSQL is. Errors lose nothing.",
            rate("memingest_offset_commits_total{%}", "result"),
            width=12,
        ),
    )


def schemas(b):
    b.row("Decode and schemas")
    b.add(
        lines(
            "Events decoded",
            "eps",
            "Messages decoded into a row or a delete.",
            rate("memingest_records_decoded_total{%s}", "stream"),
            width=6,
        ),
        lines(
            "Decode time",
            "s",
            "Taking and decoding one portion of at most 1,000 messages.",
            *quantiles("memingest_decode_duration_seconds"),
            width=6,
        ),
        lines(
            "Poll thread busy",
            "percentunit",
            "Share of its time that a worker's poll thread takes and decodes messages. Near 1 it is the bottleneck: add a worker.",
            ('sum by (instance) (rate(memingest_stage_busy_seconds_total{%,stage="poll"}[%r]))', "{{instance}}"),
            width=6,
        ),
        lines(
            "Undecodable events by reason",
            "eps",
            "Events that the decoder refused. docs/OPERATIONS.md lists the reasons.",
            (
                "sum by (stream, reason) (rate(memingest_dead_letters_total{%s"
                ',reason!~"constraint|database"}[%r])) > 0 or '
                "sum by (stream) (0 * rate(memingest_records_consumed_total{%s}[%r]))",
                "{{stream}} {{reason}}",
            ),
            width=6,
        ),
        lines(
            "Requests to the schema registry",
            "ops",
            "A worker asks once for a schema, so this is near zero but after a start and for ids that the registry does not "
            "know. Errors make an alert.",
            rate("memingest_schema_requests_total{%}", "result"),
            width=6,
        ),
        lines(
            "Time of a request to the registry",
            "s",
            "99th percentile; no line where nothing was asked.",
            quantile(0.99, "memingest_schema_request_duration_seconds", "instance"),
            width=6,
        ),
        lines(
            "Schemas not in memory",
            "short",
            "Look-ups that had to go to the registry.",
            ("sum by (instance) (increase(memingest_schema_cache_misses_total{%}[%r]))", "{{instance}}"),
            width=6,
        ),
        lines(
            "Partitions waiting for a schema",
            "short",
            "They go on as soon as the registry answers.",
            ("sum by (stream) (memingest_schema_waiting_partitions{%s})", "{{stream}}"),
            width=6,
        ),
    )


def batching(b):
    b.row("Batches")
    b.add(
        lines(
            "Events in a batch",
            "short",
            "Median and 99th percentile. Small batches cost more of PostgreSQL's time per event.",
            quantile(0.5, "memingest_batch_rows", "stream"),
            quantile(0.99, "memingest_batch_rows", "stream", legend="{{stream}} p99"),
        ),
        lines("Bytes in a batch", "bytes", "COPY bytes, 99th percentile.", quantile(0.99, "memingest_batch_bytes", "stream")),
        lines(
            "What closed batches",
            "ops",
            "rows and bytes: full, there is plenty to do. age: a quiet stream. memory: batch.memory is short. revoke, drain: a "
            "rebalance, a stop.",
            rate("memingest_batches_sealed_total{%s}", "reason"),
            stack=True,
        ),
        lines(
            "From first event to sealed",
            "s",
            "How long a batch fills, 99th percentile; at most batch.max_age.",
            quantile(0.99, "memingest_batch_fill_duration_seconds", "stream"),
            width=6,
        ),
        lines(
            "From sealed to a lane",
            "s",
            "How long a sealed batch waits for its lane, 99th percentile. Long: PostgreSQL is the bottleneck.",
            quantile(0.99, "memingest_batch_queue_duration_seconds", "stream"),
            width=6,
        ),
        lines(
            "Memory in batches",
            "percentunit",
            "Bytes in open and sealed batches against batch.memory.",
            (
                "sum by (instance) (memingest_batch_memory_bytes{%}) / sum by (instance) (memingest_batch_memory_limit_bytes{%})",
                "{{instance}}",
            ),
            width=6,
        ),
        lines(
            "Intake stands still",
            "percentunit",
            "Share of the time in which a worker takes nothing because PostgreSQL has not written what it has. Dashed line: the "
            "alert.",
            ("sum by (instance, cause) (rate(memingest_backpressure_seconds_total{%}[%r]))", "{{instance}} {{cause}}"),
            thresholds=above("MemingestBackpressured", YELLOW),
            width=6,
        ),
    )


def postgres(b):
    b.row("PostgreSQL, as the workers see it")
    b.add(
        lines(
            "Transactions",
            "s",
            "From BEGIN to the answer of COMMIT, 99th percentile.",
            quantile(0.99, "memingest_postgres_transaction_duration_seconds", "stream"),
        ),
        lines(
            "COPY and merge",
            "s",
            "The two parts of a transaction that grow with its rows, 99th percentile.",
            quantile(0.99, "memingest_postgres_copy_duration_seconds", "stream", legend="{{stream}} copy"),
            quantile(0.99, "memingest_postgres_merge_duration_seconds", "stream", legend="{{stream}} merge"),
        ),
        lines(
            "COMMIT",
            "s",
            "How long the answer takes: disk, synchronous standbys, the network.",
            *quantiles("memingest_postgres_commit_duration_seconds"),
        ),
        lines(
            "Sessions",
            "short",
            "Open sessions of a worker's lanes. At 0 an alert fires.",
            ("sum by (instance) (memingest_postgres_connections{%})", "{{instance}}"),
            ("sum by (instance) (increase(memingest_postgres_reconnects_total{%}[%r]))", "{{instance}} reconnects"),
        ),
        lines(
            "Errors by SQLSTATE class",
            "eps",
            "08 connection, 22 data, 23 constraint (also: a batch went straight into the table and met a key that is there), "
            "40 deadlock or serialization, 53 resources, 57 shutdown or cancel.",
            rate("memingest_postgres_errors_total{%}", "sqlstate_class"),
        ),
        lines(
            "Retries by SQLSTATE class",
            "eps",
            "Batches that are tried again. Dashed line: the alert.",
            rate("memingest_postgres_retries_total{%}", "sqlstate_class"),
            thresholds=above("MemingestPostgresRetriesHigh", YELLOW),
        ),
        lines(
            "Void and dropped",
            "short",
            "Batches that another worker's claim made void, COMMITs whose answer was lost, and messages below the expected "
            "offset. None of it loses or repeats an event.",
            ("sum(increase(memingest_fenced_total{%}[%r]))", "fenced batches"),
            ("sum(increase(memingest_commit_ambiguous_total{%}[%r]))", "lost answers, resolved"),
            ("sum(increase(memingest_offset_regressions_total{%s}[%r]))", "messages again"),
            width=24,
            height=6,
        ),
    )


def dead_letters(b):
    b.row("Dead letters")
    b.add(
        lines(
            "Dead letters by stream",
            "short",
            "Events written to memingest.dead_letters within the interval. `memingest dlq list` shows them; runbook: "
            "MemingestDeadLetters.",
            ("sum by (stream) (increase(memingest_dead_letters_total{%s}[%r]))", "{{stream}}"),
        ),
        lines(
            "Dead letter ratio",
            "percentunit",
            "Share of the consumed events. Dashed line: the alert. Above dlq.max_ratio the stream halts.",
            (
                "sum by (stream) (rate(memingest_dead_letters_total{%s}[%r])) / (sum by (stream) "
                "(rate(memingest_records_consumed_total{%s}[%r])) > 0)",
                "{{stream}}",
            ),
            thresholds=above("MemingestDeadLetterRatioHigh", which=1),
        ),
        lines(
            "Failures to write dead letters",
            "short",
            "The batch that holds them waits until they can be written. Any makes an alert.",
            ("sum by (stream) (increase(memingest_dead_letter_failures_total{%s}[%r]))", "{{stream}}"),
            thresholds=above("MemingestDeadLetterWriteFailing"),
        ),
    )


def searches(b):
    b.row("Searches by nearness")
    b.add(
        lines(
            "Rows in no segment",
            "short",
            "Each search reads them one by one, until they are sealed. Dashed line: where the alert may fire.",
            ("max by (stream) (job_stream:memingest_search_unindexed_rows:max{%js})", "{{stream}}"),
            thresholds=above("MemingestSearchBacklog", YELLOW, 0),
        ),
        lines(
            "Age of the oldest of them",
            "s",
            "How long ago it was written.",
            ("max by (stream) (job_stream:memingest_search_unindexed_age_seconds:max{%js})", "{{stream}}"),
        ),
        lines(
            "Failures of upkeep",
            "short",
            "Steps that failed within the interval; they are tried again after ten seconds. An alert fires where it goes on.",
            ("sum by (stream) (increase(memingest_search_failures_total{%s}[%r]))", "{{stream}}"),
        ),
        lines(
            "Rows built into segments",
            "rowsps",
            "A second, by all workers, merging and building anew included.",
            rate("memingest_search_built_rows_total{%s}", "stream"),
            width=6,
        ),
        lines(
            "One segment",
            "s",
            "How long it takes, 95th percentile: copied, indexed, published.",
            quantile(0.95, "memingest_search_build_duration_seconds", "stream"),
            width=6,
        ),
        lines(
            "Segments",
            "short",
            "That a search goes through.",
            ("max by (stream) (memingest_search_segments{%s})", "{{stream}}"),
            width=6,
        ),
        lines(
            "Stale rows",
            "percentunit",
            "Share of the rows in segments that have changed or gone since. A segment above index.stale_share is built anew.",
            (
                "max by (stream) (memingest_search_stale_rows{%s}) / (max by (stream) (memingest_search_sealed_rows{%s}) > 0)",
                "{{stream}}",
            ),
            width=6,
        ),
    )


def resources(b):
    b.row("Resources")
    ours = " and on (job, instance) memingest_build_info{%}"  # "All" is every job that Prometheus has, and all have process_*
    b.add(
        lines(
            "Where the threads' time goes",
            "percentunit",
            "Threads' seconds a second by stage. lane_idle: a lane has no work, lane_wait: it waits for PostgreSQL to come back.",
            rate("memingest_stage_busy_seconds_total{%}", "stage"),
            stack=True,
            width=6,
        ),
        lines(
            "CPU",
            "percentunit",
            "Cores used by a worker.",
            ("sum by (instance) (rate(process_cpu_seconds_total{%}[%r])" + ours + ")", "{{instance}}"),
            width=6,
        ),
        lines(
            "Memory",
            "bytes",
            "Resident memory of a worker.",
            ("sum by (instance) (process_resident_memory_bytes{%}" + ours + ")", "{{instance}}"),
            width=6,
        ),
        lines(
            "File descriptors",
            "percentunit",
            "Open ones against the limit.",
            ("max by (instance) (process_open_fds{%} / process_max_fds{%}" + ours + ")", "{{instance}}"),
            width=6,
        ),
        lines(
            "Starts",
            "short",
            "Times that a worker was started within half an hour. Dashed line: the alert.",
            ("max by (instance) (changes(process_start_time_seconds{%}[30m])" + ours + ")", "{{instance}}"),
            thresholds=above("MemingestRestarting", YELLOW),
        ),
        lines(
            "Warnings and errors logged",
            "short",
            "Lines in the log within the interval.",
            ("sum by (instance, level) (increase(memingest_log_messages_total{%}[%r]))", "{{instance}} {{level}}"),
        ),
        lines(
            "Time since the last commit",
            "s",
            "Since a worker last committed a transaction; grows also when nothing comes in.",
            ("time() - max by (instance) (memingest_last_progress_timestamp_seconds{%} > 0)", "{{instance}}"),
        ),
    )


def librdkafka(b):
    b.row("librdkafka", collapsed=True)
    b.add(
        lines(
            "Brokers up",
            "short",
            "Brokers to which a worker's connection is up. At 0 an alert fires.",
            ("sum by (instance) (memingest_rdkafka_broker_up{%})", "{{instance}}"),
        ),
        lines(
            "Round trip",
            "s",
            "99th percentile of requests to a broker; fetches wait for data up to fetch.wait.max.ms.",
            ('max by (broker) (memingest_rdkafka_broker_rtt_seconds{%,stat="p99"})', "{{broker}}"),
        ),
        lines(
            "Disconnects, timeouts, errors",
            "eps",
            "Of connections and requests to brokers.",
            rate("memingest_rdkafka_broker_disconnects_total{%}", "broker", "{{broker}} disconnects"),
            rate("memingest_rdkafka_broker_request_timeouts_total{%}", "broker", "{{broker}} timeouts"),
            rate("memingest_rdkafka_broker_errors_total{%}", "broker", "{{broker}} errors"),
        ),
        lines(
            "Bytes from and to brokers",
            "Bps",
            "Compressed, as on the wire.",
            rate("memingest_rdkafka_broker_rx_bytes_total{%}", "broker", "{{broker}} received"),
            rate("memingest_rdkafka_broker_tx_bytes_total{%}", "broker", "{{broker}} sent"),
            width=12,
        ),
        lines(
            "Reply queue",
            "short",
            "Events of librdkafka that wait for the poll thread.",
            ("sum by (instance) (memingest_rdkafka_reply_queue_ops{%})", "{{instance}}"),
            width=12,
        ),
    )


def embeddings(b):
    b.row("Embeddings")
    b.add(
        lines(
            "Texts",
            "short",
            "A second: texts that got their vector, those of them that nobody had to be asked for, and those that the model refused.",
            rate("memingest_embed_texts_total{%s}", "stream", "{{stream}}"),
            rate("memingest_embed_cached_texts_total{%s}", "stream", "{{stream}} known already"),
            rate("memingest_embed_refused_texts_total{%s}", "stream", "{{stream}} refused"),
        ),
        lines(
            "Events that wait for vectors",
            "short",
            "Of sealed batches. An alert fires where they wait and no text gets its vector.",
            ("sum by (stream) (memingest_embed_waiting_events{%s})", "{{stream}}"),
        ),
        lines(
            "Requests for vectors",
            "reqps",
            "A second, by result.",
            rate("memingest_embed_requests_total{%}", "result"),
        ),
        lines(
            "Until the vectors are there",
            "s",
            "95th percentile: one request, and what a sealed batch waited for all of its vectors.",
            quantile(0.95, "memingest_embed_request_duration_seconds", "", "request"),
            quantile(0.95, "memingest_embed_batch_duration_seconds", "stream", "{{stream}} batch"),
            width=12,
        ),
        lines(
            "Tokens",
            "short",
            "A second, as the server counts them; and those of requests that ended without a usable answer, estimated. An alert fires where these are many.",
            rate("memingest_embed_tokens_total{%s}", "stream", "{{stream}}"),
            rate("memingest_embed_spent_twice_tokens_total{%}", "", "spent twice"),
            width=12,
        ),
    )


def gateway(b):
    b.row("Gateway")
    b.add(
        lines(
            "Answers",
            "reqps",
            "A second, by what became of the request. An alert fires where busy and undelivered are a share of them.",
            rate("memingest_gateway_answers_total{%}", "result"),
        ),
        lines(
            "Events by HTTP",
            "short",
            "A second, acknowledged by Kafka; and those that the table would not take.",
            rate("memingest_gateway_events_total{%s}", "stream", "{{stream}} taken"),
            rate("memingest_gateway_refused_events_total{%s}", "stream", "{{stream}} refused"),
        ),
        lines(
            "Until the answer",
            "s",
            "95th percentile: until Kafka has acknowledged a request's events, and from there until the database has them where somebody waits.",
            quantile(0.95, "memingest_gateway_acknowledge_duration_seconds", "stream", "{{stream}} acknowledged"),
            quantile(0.95, "memingest_gateway_stored_duration_seconds", "stream", "{{stream}} stored"),
        ),
        lines(
            "Memory of requests",
            "bytes",
            "Of those that are being worked on, and of their answers; at the limit new ones are refused.",
            ("sum by (instance) (memingest_gateway_memory_bytes{%})", "{{instance}}"),
            ("max(memingest_gateway_memory_limit_bytes{%})", "limit"),
            width=12,
        ),
        lines(
            "Connections and waiting requests",
            "short",
            "Open connections, and requests that wait for PostgreSQL.",
            ("sum by (instance) (memingest_gateway_connections{%})", "{{instance}} connections"),
            ("sum by (instance) (memingest_gateway_waiting_requests{%})", "{{instance}} waiting"),
            width=12,
        ),
    )


def board():
    variables = [
        label_variable("job", "Job", "label_values(memingest_build_info, job)", "Deployments, as Prometheus names them."),
        label_variable("instance", "Instance", 'label_values(memingest_build_info{job=~"$job"}, instance)', "Workers."),
        label_variable(
            "stream", "Stream", 'label_values(memingest_records_consumed_total{job=~"$job"}, stream)', "Streams of the config."
        ),
    ]
    annotations = [
        annotation(
            "Deploy",
            "A version that was not there before.",
            "count by (version) (memingest_build_info{%}) unless count by (version) (memingest_build_info{%} offset 2m)",
            "version {{version}}",
            "blue",
        ),
        annotation(
            "Rebalance",
            "Workers got partitions.",
            'sum by (instance) (increase(memingest_rebalances_total{%,type="assign"}[1m])) > 0',
            "{{instance}}",
            "orange",
        ),
    ]
    b = Board(
        "memingest-overview",
        "memingest / Overview",
        "One deployment: freshness, throughput, and where time goes on the way from Kafka to PostgreSQL.",
        variables,
        [link("Fleet", "memingest-fleet"), link("Database", "memingest-database")],
        annotations,
    )
    for section in (
        at_a_glance,
        freshness,
        throughput,
        consumer,
        schemas,
        batching,
        postgres,
        dead_letters,
        searches,
        embeddings,
        gateway,
        resources,
        librdkafka,
    ):
        section(b)
    return b
