/*
 * exposed.h - which of the connections that the config asks for would leave this machine without
 * TLS that knows whom it talks to.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "core/config.h"

/* A loopback address or localhost: what goes there stays on this machine. */
bool exposed_is_here(const char *host);

/* True: why, and what to write instead, is appended. "key: why; what to write". */
bool exposed_kafka(const struct config *c, struct buf *why);
bool exposed_registry(const struct config *c, struct buf *why);
bool exposed_embed(const struct config *c, struct buf *why);
bool exposed_gateway(const struct config *c, struct buf *why);

/* Whether that HOST:PORT is heard by other machines. */
bool exposed_listens(const char *listen);
