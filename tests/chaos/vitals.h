/* vitals.h - memory, descriptors and threads of each worker: within bounds, and flat. */
#pragma once

#include "chaos.h"

struct vitals *vitals_new(struct chaos *c);
void vitals_free(struct vitals *v);
void vitals_look(struct vitals *v);                  /* at each of the run's workers */
void vitals_end(struct vitals *v, struct worker *w); /* it ends, or the run does: was it flat? */
