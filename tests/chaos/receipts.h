/*
 * receipts.h - what the broker acknowledged: topic, partition, offset, checksums of key and value.
 *
 * A record beside the log. What the log lacks of it, the broker lost after it had acknowledged it;
 * the model, which only reads the log, could not know.
 */
#pragma once

#include "broker.h"
#include "chaos.h"

struct receipts;

struct receipts *receipts_new(struct chaos *c);
void receipts_free(struct receipts *r);

/* A delivery report; ctx: the receipts. */
void receipts_add(void *ctx, const struct broker_message *m);
/* A message that the model reads from the log, in the order of the offsets; ctx: the receipts. */
void receipts_seen(void *ctx, const struct broker_message *m);
/* All of the log has been read: what is left was lost. */
void receipts_settle(struct receipts *r);

void receipts_gap(struct receipts *r, const char *topic, int partition, int64_t from, int64_t to);
void receipts_new_topic(struct receipts *r, const char *topic);
/* One past the last acknowledged offset of each partition; returns how many there are. */
#define RECEIPTS_LINES 64
struct receipts_end {
	const char *topic; /* the receipts' */
	int32_t partition;
	int64_t end; /* 0: none yet */
};
size_t receipts_ends(const struct receipts *r, struct receipts_end *out);
/* Acknowledged offsets, of the topics that there are now. */
int64_t receipts_sum(const struct receipts *r);
void receipts_counts(struct receipts *r, uint64_t *acknowledged, uint64_t *failed);

/* For the proof: claims a message that never was, and takes that back. */
void receipts_tamper(struct receipts *r, const char *topic);
void receipts_repair(struct receipts *r);
