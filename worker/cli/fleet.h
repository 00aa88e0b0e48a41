/*
 * fleet.h - the workers that "memingest top" and "memingest status" look at: their /status
 * documents, the newest and the one before.
 */
#pragma once

#include <jansson.h>

#include "base/base.h"
#include "base/buf.h"
#include "cli/cli.h"

struct fleet_worker {
	char *name;           /* "127.0.0.1:9464" */
	char *url;            /* of its /status */
	json_t *now, *before; /* NULL: no answer */
	struct buf body;      /* of "now", as it came */
	char error[256];      /* why there is no answer; empty: there is one */
};

struct fleet {
	struct fleet_worker *workers;
	size_t n;
	char *token; /* that the workers want, or NULL */
	struct http_client *http;
};

/*
 * From the arguments, "host:port" or a URL, else http.listen; with the token of the config's
 * http.token_file. False after a complaint: code is the exit code.
 */
MUST_CHECK bool fleet_open(struct fleet *f, struct cli *cli, int *code);
void fleet_close(struct fleet *f); /* what fleet_open() made */

/* Asks all at the same time, for so long at most. */
void fleet_look(struct fleet *f, int64_t timeout_us);

/* 0: every worker answered and is ready; 69: one did not answer; 75: one is not ready. */
int fleet_exit_code(const struct fleet *f);
