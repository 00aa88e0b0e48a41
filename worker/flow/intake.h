/* intake.h - from a message to a row in the open batch of its lane and stream. Poll thread. */
#pragma once

#include "codec/decode.h"
#include "core/config.h"
#include "core/guard.h"
#include "core/pool.h"
#include "flow/lanes.h"
#include "flow/partition.h"
#include "io/origin.h"
#include "io/registry.h"
#include "io/source.h"

/* Of a stream, since they were last published. */
struct taken {
	uint64_t events, decoded, dead, bytes;
};

struct intake {
	const struct config *config;
	struct pool *pool;
	struct lanes *lanes;
	struct partitions *partitions;
	struct registry *registry;
	struct decoder *decoder;
	struct guard *guards; /* per stream: what could not be decoded */
	struct taken *taken;  /* per stream */
	const struct origin *origin;
};

/* Borrows all that it is given; makes the rest. */
void intake_open(struct intake *in, const struct config *config);
void intake_close(struct intake *in); /* what intake_open() made */

/* For struct source_ops, with the intake as ctx. False: take no more for now. */
bool intake_message(struct intake *in, const struct source_message *m);
/* The end of the log, which may lie behind transaction markers or compacted records. */
void intake_eof(struct intake *in, struct source_partition *sp, int64_t offset);

/* Counts what was taken since the last call. */
void intake_count(struct intake *in);
