/*
 * origin.c - Kafka as the place where events come from: its parts stand in files of their own.
 */
#include "io/origin.h"

#include <string.h>

static struct source *open_consumer(void *self, const struct config *config,
				    const struct source_ops *ops, void *ctx, struct err *err)
{
	(void)self;
	return consumer_open(config, ops, ctx, err);
}

const struct origin origin_kafka = {.open = open_consumer};

bool origin_is_file(const char *topic)
{
	return strncmp(topic, ORIGIN_FILE, strlen(ORIGIN_FILE)) == 0;
}
