/* gateway.h - events by HTTP into the topics of the streams: "memingest gateway". */
#pragma once

#include "core/config.h"

/* Until a signal ends it, or what cannot be mended. Returns the exit code. */
int gateway_run(const struct config *config);
