/*
 * load.h - generated events of a stream (gen/generate.h) into the stream's topic, in portions.
 *
 * A key's events go to one partition, by the hash of the message key.
 */
#pragma once

#include "bed.h"
#include "gen/generate.h"

struct load;

/* options: format and schema ids are filled in here. */
struct load *load_open(struct bed *bed, const char *stream, struct generator_options options);
/* queues; bed_flush() or bed_drain() waits for them */
void load_send(struct load *l, size_t events);
void load_close(struct load *l);

/* All at once, flushed. */
void load_fill(struct bed *bed, const char *stream, size_t events,
	       struct generator_options options);
