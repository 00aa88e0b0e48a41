/*
 * contract.c - reads the answers out of docs/openapi.yaml and holds them against those that tests
 * hear.
 *
 *   paths:
 *     /v1/streams/{stream}/events/{key}:       one path, one method: the other methods are 405
 *       delete:
 *         responses:
 *           '422':
 *             description: "`other_body`: ..."  each word of an answer, as "result" has it
 *
 * Read line by line: the file is written by a program, and tests/lint docs sees that it is that
 * program's. What was heard is kept in a file beside the stack, as each test is a process of its
 * own.
 */
#include "contract.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "stack.h"

/* "delete 422 other_body\n": a line for each answer of the file. */
static void put_words(struct buf *out, const char *method, unsigned status, const char *text)
{
	char word[32];
	for (const char *at = text; (at = strchr(at, '`')); at++)
		if (sscanf(at, "`%31[a-z_]`: ", word) == 1 &&
		    strncmp(at + strlen(word) + 1, "`: ", 3) == 0)
			buf_printf(out, "%s %u %s\n", method, status, word);
}

static char *promised(void)
{
	struct buf out = {0};
	char line[4096], method[16] = "", word[16];
	unsigned status = 0;
	FILE *in = fopen("docs/openapi.yaml", "r");
	ck_assert_ptr_nonnull(in);
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "    %15[a-z]:", word) == 1 && strncmp(line, "     ", 5) != 0)
			snprintf(method, sizeof(method), "%s", word);
		else if (sscanf(line, "        '%u':", &status) != 1 && status > 0 &&
			 strstr(line, " description: "))
			put_words(&out, method, status, line);
		if (strncmp(line, "components:", 11) == 0)
			break;
	}
	fclose(in);
	return buf_take_text(&out);
}

/* The method of the route that a target is of; NULL: none, so that an answer may be of any. */
static const char *route_of(const char *target)
{
	size_t len = strcspn(target, "?");
	const char *events = strstr(target, "/events");
	if (strncmp(target, "/v1/streams/", 12) != 0 || !events || events > target + len)
		return NULL;
	return events + strlen("/events") == target + len ? "post" : "delete";
}

static void path_of_heard(char *path, size_t size)
{
	snprintf(path, size, "%s/contract", stack.dir);
}

void contract_heard(const char *target, unsigned status, const char *answer)
{
	char line[96], path[256], word[32] = "no word";
	const char *route = route_of(target), *body = strstr(answer, "{\"result\":\"");
	char *all = promised();
	if (body)
		sscanf(body, "{\"result\":\"%31[a-z_]\"", word);
	snprintf(line, sizeof(line), "%s %u %s\n", route ? route : "", status, word);
	ck_assert_msg(strstr(all, line) != NULL, "docs/openapi.yaml lacks this answer to %s: %s",
		      target, line);
	free(all);
	path_of_heard(path, sizeof(path));
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	if (route)
		ck_assert_int_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	close(fd);
}

char *contract_unseen(void)
{
	struct buf heard = {0}, unseen = {0};
	char path[256], line[96];
	char *all = promised(), *rest = NULL;
	path_of_heard(path, sizeof(path));
	FILE *in = fopen(path, "r");
	while (in && fgets(line, sizeof(line), in))
		buf_puts(&heard, line);
	if (in)
		fclose(in);
	for (char *one = strtok_r(all, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest)) {
		snprintf(line, sizeof(line), "%s\n", one);
		if (!strstr(buf_cstr(&heard), line))
			buf_puts(&unseen, line);
	}
	free(all);
	buf_free(&heard);
	return buf_take_text(&unseen);
}
