/* listen.h - a TCP socket that listens, by a setting "HOST:PORT". */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct listen_address {
	char host[256]; /* without brackets; empty: every address */
	char port[8];
};

/* setting: its name, for messages. False with class CONFIG when it is not written so. */
MUST_CHECK bool listen_split(const char *setting, const char *listen, struct listen_address *a,
			     struct err *err);
/* A socket that listens and does not block, or -1 with class CONFIG; port 0 takes a free one. */
int listen_open(const char *setting, const char *listen, struct err *err);
unsigned listen_port(int fd); /* that it listens on */
