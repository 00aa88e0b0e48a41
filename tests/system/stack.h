/*
 * stack.h - the broker, the database and the registry of one run of the test program.
 *
 * Started by main() before any test, so that the processes of the tests inherit it. A supervisor
 * process stops it and removes its folder when the program ends, however it ends.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

struct stack {
	char dir[64];
	char bootstrap[64];
	unsigned pg_port, registry_port;
	unsigned standby_port; /* of stack_do("standby", "start", NULL) */
	/*
	 * The broker's second listener, and where it sends its clients: nobody listens there but a
	 * test's proxy.
	 */
	unsigned proxied_port, proxy_port;
	/* With TLS: the broker's listeners, all called localhost; 0 without. */
	unsigned scram_port, mtls_port, expired_port;
	char folder[4096];  /* what was built beside the test program */
	char program[4200]; /* the worker's binary */
	/* folder of another librdkafka for the workers; empty: the system's */
	char librdkafka[4096];
};
extern struct stack stack;

/* Ends the process with a message when the stack does not come up. */
void stack_up(bool new_librdkafka, bool tls);
void stack_down(void);

/*
 * tests/stack VERB ACTION of this stack, as in ("pg", "stop", "immediate"); option may be NULL.
 * Fails the test when it fails.
 */
void stack_do(const char *verb, const char *action, const char *option);

/* A port that nobody listens on, outside the range that outgoing connections take theirs from. */
unsigned free_port(void);

/*
 * Forks and runs a program, its output appended to a file (NULL: where ours goes). It is killed
 * when the calling process ends. env: "NAME=VALUE" strings, NULL-terminated, or NULL. Returns the
 * pid.
 */
int spawn(const char *const *argv, const char *const *env, const char *output);
int wait_exit(int pid); /* its exit status, or 128 + signal */

/*
 * GET, or POST when body is not NULL, from 127.0.0.1. Returns the HTTP status, 0 when nobody
 * answers within 5 s. out may be NULL.
 */
unsigned http(unsigned port, const char *path, const char *body, struct buf *out);
