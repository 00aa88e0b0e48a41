/*
 * secure.h - what the tests of TLS and logins share: files of secrets, what a worker says of itself
 * searched for them, and servers whose certificates change.
 */
#pragma once

#include "bed.h"

/* Every password and token of these tests begins so, and no file that is searched may have it. */
#define SECRET "S3cret"

/* "DIR/tls/NAME" of the stack: ca.pem, client.crt, ... (tests/certs); static, of the last four
 * calls. */
const char *secure_cert(const char *name);
/* Writes a file of the bed, mode 0600; returns its path, the bed's. */
const char *secure_write(struct bed *bed, const char *name, const char *text);
/* Copies one of the certificates over a file of the bed. */
const char *secure_copy(struct bed *bed, const char *name, const char *cert);

/*
 * What the worker has logged, what it serves, and what the commands that show settings say: nothing
 * of it holds a secret. worker NULL: it does not run.
 */
void secure_leaks_nothing(struct bed *bed, struct worker *w);

/* The same of one text. */
void secure_search(const char *text, const char *where);

/* Lets so much time pass; fails when a worker ends. */
void secure_watch(struct bed *bed, int64_t us);
/* Lines of level error in the worker's log. */
int secure_errors(struct worker *w);
/* 50 more events, and all are in the table. */
void secure_flows(struct bed *bed);

/* The user's password at the broker. */
void secure_scram(const char *user, const char *password);

/*
 * False, after a line that says so: the server has no TLS. Else role "secured" may log in by
 * password and TLS alone, and the server shows the certificate NAME.crt.
 */
bool secure_postgres(struct bed *bed, const char *cert);
void secure_postgres_cert(struct bed *bed, const char *cert);
void secure_postgres_password(struct bed *bed, const char *password);
void secure_postgres_drop(struct bed *bed); /* all sessions of workers */

/* A registry of the test's own with https, which knows what the stack's one knows. */
struct secure_registry {
	int pid;
	unsigned port;
};
struct secure_registry secure_registry_start(struct bed *bed, const char *cert, const char *user);
void secure_registry_stop(struct secure_registry *r);
