/*
 * test_corpus.c - replays what the fuzzers have found worth keeping (tests/fuzz/corpus): every file
 * of a fuzzer's folder goes through that fuzzer once more.
 *
 * A fuzzer that finds something ends the process, so its file is named before, on stderr.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "unit.h"

#define FUZZER(name)                                                                               \
	int fuzz_##name(const uint8_t *data, size_t size);                                         \
	int fuzz_##name##_start(int *argc, char ***argv) __attribute__((weak));
/* clang-format off */
#define FUZZERS(X) \
	X(decode) X(text) X(frame) X(schema) X(json) X(container) X(key) X(config) X(records) \
	X(headers) X(registry) X(peek) X(http) X(gate)
/* clang-format on */
FUZZERS(FUZZER)

#define ROW(name) {#name, fuzz_##name, fuzz_##name##_start},
static const struct {
	const char *name;
	int (*input)(const uint8_t *data, size_t size);
	int (*start)(int *argc, char ***argv);
} fuzzers[] = {FUZZERS(ROW)};

static char path[500];

/* Which file it was; then it is what it was. */
static void name_file(int signal_number)
{
	if (write(STDERR_FILENO, path, strlen(path)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
		_exit(1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* In a block of exactly that size, so that a sanitizer sees one byte read too many. */
static void replay(size_t fuzzer)
{
	struct buf bytes = {0};
	FILE *f = fopen(path, "rb");
	int c;
	ck_assert_msg(f != NULL, "%s", path);
	while ((c = fgetc(f)) != EOF)
		buf_u8(&bytes, (uint8_t)c);
	fclose(f);
	uint8_t *data = xmalloc(bytes.len);
	if (bytes.len > 0)
		memcpy(data, bytes.data, bytes.len);
	fuzzers[fuzzer].input(data, bytes.len);
	free(data);
	buf_free(&bytes);
}

/* Each file of each corpus, and nothing at all. */
START_TEST(corpus)
{
	char folder[200];
	int files = 0, argc = 0;
	char **argv = NULL;
	snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", fuzzers[_i].name);
	DIR *dir = opendir(folder);
	ck_assert_msg(dir != NULL, "%s; tests run from the top of the tree", folder);
	void (*before)(int) = signal(SIGABRT, name_file);
	if (fuzzers[_i].start)
		fuzzers[_i].start(&argc, &argv);
	fuzzers[_i].input((const uint8_t *)"", 0);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		replay((size_t)_i);
		files++;
	}
	signal(SIGABRT, before);
	closedir(dir);
	ck_assert_int_gt(files, 0);
}
END_TEST

static Suite *corpus_suite(void)
{
	Suite *s = suite_create("corpus");
	TCase *tc = tcase_create("corpus");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, corpus, 0, (int)(sizeof(fuzzers) / sizeof(fuzzers[0])));
	suite_add_tcase(s, tc);
	return s;
}

UNIT_SUITE(corpus_suite)
