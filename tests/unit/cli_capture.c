/*
 * cli_capture.c - stdout and stderr are files in memory while a command runs.
 */
#include "cli_capture.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

char captured_out[262144], captured_errors[16384];

static void slurp(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

int capture_cli(const struct command *const *commands, const char *const *args)
{
	char *argv[16] = {(char *)"memingest"};
	int argc = 1;
	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)args[argc - 1];
	fflush(stdout);
	fflush(stderr);
	int saved[2] = {dup(1), dup(2)}, fds[2] = {memfd_create("out", 0), memfd_create("err", 0)};
	dup2(fds[0], 1);
	dup2(fds[1], 2);
	int code = cli_main(commands, argc, argv);
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i + 1);
		close(saved[i]);
	}
	slurp(fds[0], captured_out, sizeof(captured_out));
	slurp(fds[1], captured_errors, sizeof(captured_errors));
	return code;
}
