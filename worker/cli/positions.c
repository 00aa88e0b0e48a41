/*
 * positions.c - gathers, per partition, what the database holds (the truth about what is durable)
 * and what Kafka's log holds.
 *
 *   memingest.offsets      +  metadata: partitions that have no row yet
 *   (negative partitions      +  ids, low, high
 *   are the worker's notes)
 *
 * Nothing here changes anything. Kafka may be away: then the rows are shown without it.
 */
#include "cli/positions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/stream.h"
#include "io/kafka_inspect.h"
#include "io/origin.h"

#define KAFKA_TIMEOUT_MS 10000

/* Moves the array: pointers into it are void. */
static struct position *add(struct positions *p, const char *topic, int32_t partition)
{
	p->all = xrealloc(p->all, (p->n + 1) * sizeof(*p->all));
	struct position *new = &p->all[p->n++];
	*new = (struct position){.partition = partition,
				 .low = -1,
				 .high = -1,
				 .at = -1,
				 .next_offset = -1,
				 .halted_at = -1};
	snprintf(new->topic, sizeof(new->topic), "%s", topic);
	return new;
}

static char *text_or_empty(const struct answer *rows, size_t row, size_t column)
{
	const char *text = answer_value(rows, row, column);
	return xstrdup(text ? text : "");
}

static void add_row(struct positions *p, const struct answer *rows, size_t i)
{
	struct position *new = add(p, answer_value(rows, i, 0), (int32_t)answer_int(rows, i, 1));
	const char *id = answer_value(rows, i, 4);
	new->known = true;
	new->next_offset = answer_int(rows, i, 2);
	new->owner_epoch = answer_int(rows, i, 3);
	snprintf(new->topic_id, sizeof(new->topic_id), "%s", id ? id : "");
	new->owner = text_or_empty(rows, i, 5);
	new->updated_at = text_or_empty(rows, i, 6);
	new->halted_at = answer_int(rows, i, 7);
	new->halted = text_or_empty(rows, i, 8);
}

#define ROWS(books, time, topic)                                                                   \
	"SELECT topic, partition, next_offset, owner_epoch, topic_id, owner, " time                \
	", coalesce(halted_at, -1), halted FROM " books "offsets WHERE pipeline = $1 AND (" topic  \
	" IS NULL OR topic = $2) AND partition >= 0 AND topic NOT LIKE '" ORIGIN_FILE              \
	"%' ORDER BY 1, 2"

/* Negative partitions are notes of the worker, not partitions; files are no topics of Kafka. */
bool positions_read(struct asker *a, const struct config *config, const char *topic,
		    struct positions *p, struct err *err)
{
	static const struct asker_sql sql = {
		ROWS("memingest.",
		     "to_char(updated_at AT TIME ZONE 'UTC', "
		     "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
		     "$2::text"),
		ROWS("memingest_",
		     "strftime('%Y-%m-%dT%H:%M:%SZ', updated_at / 1000000, "
		     "'unixepoch')",
		     "$2")};
	const char *params[] = {config->group_id, topic};
	struct answer *rows = asker_query(a, sql, params, 2, err);
	if (!rows)
		return err_wrap(err, "reading %soffsets", a->pg ? "memingest." : "memingest_");
	for (size_t i = 0; i < answer_count(rows); i++)
		add_row(p, rows, i);
	answer_free(rows);
	return true;
}

/* --- Kafka --- */

static void free_texts(struct position *p)
{
	free(p->owner);
	free(p->updated_at);
	free(p->halted);
}

static struct position *find(struct positions *p, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->all[i].partition == partition && strcmp(p->all[i].topic, topic) == 0)
			return &p->all[i];
	return NULL;
}

/* Those without a row are added. */
static bool ask_logs(struct rd_kafka_s *rk, struct positions *p, const char *topic,
		     int32_t partitions, int64_t at_ms, struct err *err)
{
	char id[1][37] = {""};
	kafka_topic_ids(rk, &topic, 1, id, KAFKA_TIMEOUT_MS);
	struct kafka_log *logs = xcalloc((size_t)partitions, sizeof(*logs));
	for (int32_t i = 0; i < partitions; i++)
		logs[i] = (struct kafka_log){.topic = topic,
					     .partition = i,
					     .start_kind =
						     at_ms < 0 ? START_EARLIEST : START_TIMESTAMP,
					     .start_ms = at_ms};
	bool ok = kafka_query_logs(rk, logs, (size_t)partitions, KAFKA_TIMEOUT_MS, err);
	for (int32_t i = 0; i < partitions; i++) {
		struct position *pos = find(p, topic, i);
		if (!pos) {
			pos = add(p, topic, i);
			pos->owner = xstrdup("");
			pos->updated_at = xstrdup("");
			pos->halted = xstrdup("");
		}
		memcpy(pos->kafka_topic_id, id[0], sizeof(id[0]));
		pos->answered = logs[i].low >= 0;
		pos->low = logs[i].low;
		pos->high = logs[i].high;
		pos->at = logs[i].start;
	}
	free(logs);
	return ok;
}

/* A topic that is gone has no partitions, which is an answer. */
static bool ask_topic(struct rd_kafka_s *rk, struct positions *p, const char *name, int64_t at_ms,
		      struct err *err)
{
	/* A name of its own: p->all moves. */
	char topic[sizeof(p->all->topic)];
	int32_t partitions;
	snprintf(topic, sizeof(topic), "%s", name);
	if (!kafka_inspect_partitions(rk, topic, KAFKA_TIMEOUT_MS, &partitions, err))
		return false;
	return partitions == 0 || ask_logs(rk, p, topic, partitions, at_ms, err);
}

static bool asked_before(const struct positions *p, size_t i)
{
	return i > 0 && strcmp(p->all[i - 1].topic, p->all[i].topic) == 0;
}

static int compare(const void *x, const void *y)
{
	const struct position *a = x, *b = y;
	int order = strcmp(a->topic, b->topic);
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

/* Each topic once; one that fails does not keep the others back. */
bool positions_ask(const struct config *config, const char *topic, int64_t at_ms,
		   struct positions *p, struct err *err)
{
	struct rd_kafka_s *rk = kafka_inspect_open(config, err);
	if (!rk)
		return false;
	bool ok = true;
	for (size_t i = 0, rows = p->n; i < rows; i++) /* rows come sorted */
		if (!asked_before(p, i) && !(topic && strcmp(p->all[i].topic, topic) == 0))
			ok = ask_topic(rk, p, p->all[i].topic, at_ms, err) && ok;
	if (topic)
		ok = ask_topic(rk, p, topic, at_ms, err) && ok;
	for (size_t s = 0; !topic && s < config->nstreams; s++) {
		for (size_t t = 0; t < config->streams[s].ntopics; t++) {
			const char *name = config->streams[s].topics[t];
			if (name[0] != '^' && !find(p, name, 0))
				ok = ask_topic(rk, p, name, at_ms, err) && ok;
		}
	}
	kafka_inspect_close(rk);
	if (p->n > 0)
		qsort(p->all, p->n, sizeof(*p->all), compare);
	return ok;
}

/* All others go. */
static void keep(struct positions *p, const struct config *config, size_t stream, int32_t partition)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct position *pos = &p->all[i];
		if (stream_of_topic(config, pos->topic) == stream &&
		    (partition < 0 || pos->partition == partition))
			p->all[kept++] = *pos;
		else
			free_texts(pos);
	}
	p->n = kept;
}

bool positions_of_stream(struct asker *a, const struct config *config, size_t stream,
			 int32_t partition, int64_t at_ms, struct positions *p, struct err *err)
{
	char topic[sizeof(p->all->topic)];
	if (!positions_read(a, config, NULL, p, err))
		return false;
	keep(p, config, stream, partition);
	if (p->n == 0)
		return err_set(err, ERR_CONFIG,
			       "nothing of stream %s was consumed%s: memingest offsets show",
			       config->streams[stream].name, partition < 0 ? "" : " there");
	snprintf(topic, sizeof(topic), "%s", p->all[0].topic); /* p->all moves */
	if (!positions_ask(config, topic, at_ms, p, err))
		return false;
	keep(p, config, stream, partition);
	return true;
}

void positions_free(struct positions *p)
{
	for (size_t i = 0; i < p->n; i++)
		free_texts(&p->all[i]);
	free(p->all);
	*p = (struct positions){0};
}
