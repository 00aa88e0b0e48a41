/*
 * cmd_top.c - "memingest top": the fleet, again and again.
 *
 *   look --> draw --> wait for the next turn, a key, a signal or a new size --+
 *    ^                                                                       |
 *    +-----------------------------------------------------------------------+
 *   q, Ctrl-C, Ctrl-D, SIGTERM: leave; ?: what the keys do
 *
 * On a terminal: the alternate screen, without cursor, keys unbuffered and not echoed. Signals come
 * by a descriptor, so that there is one wait and one way out, which puts the terminal back as it
 * was. Ctrl-C is a key here; Ctrl-Z is nothing.
 *
 * Not on a terminal, or with --once: one frame. It needs two looks, one interval apart, for its
 * rates.
 */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "cli/cli.h"
#include "cli/fleet.h"
#include "cli/panel.h"

#define TIMEOUT_MAX_US (2 * US_PER_S)
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"
#define PAGE 20     /* lines */
#define ALL 1000000 /* more than there are */

struct screen {
	int signals;           /* signalfd */
	bool keys;             /* standard input is a terminal */
	struct termios before; /* its settings, if it is */
	bool leaving;
	bool help, by_lag;
	int top; /* the first line that is shown below the title: 0 the frame fits by itself */
};

static const char help_text[] =
	"memingest top: keys\n"
	"\n"
	"  ?              this page; any key leads back\n"
	"  l              partitions by lag; again: those in trouble first\n"
	"  down, j        scroll by a line, through all partitions\n"
	"  up, k          and back\n"
	"  PgDn, PgUp     by a page\n"
	"  g              to the top\n"
	"  q, Ctrl-C      leave\n";

/* --- the terminal --- */

/* Signals come by a descriptor from here on, keys one by one. */
static void screen_open(struct screen *s)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
	s->signals = thread_signals(signals, ARRAY_LEN(signals));
	s->keys = tcgetattr(STDIN_FILENO, &s->before) == 0;
	if (s->keys) {
		struct termios raw = s->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs(ENTER, stdout);
}

/* The terminal as it was, whatever ended the run. */
static void screen_close(struct screen *s)
{
	fputs(LEAVE, stdout);
	(void)fflush(stdout);
	if (s->keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
	close(s->signals);
}

/* By as many lines as the key says; the end is where paint() finds it. */
static void scroll(struct screen *s, int lines)
{
	s->top = MAX(s->top + lines, 0);
}

/* On the page of keys any key but those that leave leads back. */
static void take_key(struct screen *s, char key)
{
	if (s->help && !strchr("qQ\3\4", key))
		key = '?';
	switch (key) {
	case 'q':
	case 'Q':
	case 3: /* Ctrl-C */
	case 4: /* Ctrl-D */
		s->leaving = true;
		break;
	case '?':
	case 'h':
		s->help = !s->help;
		break;
	case 'l':
		s->by_lag = !s->by_lag;
		break;
	case 'j':
		scroll(s, 1);
		break;
	case 'k':
		scroll(s, -1);
		break;
	case 'g':
		s->top = 0;
		break;
	}
}

/* "ESC [ A" and the like; the length of what was taken, 0: it is none. */
static size_t take_arrow(struct screen *s, const char *keys, size_t n)
{
	static const struct {
		const char *sequence;
		int lines;
	} arrows[] = {{"\033[A", -1},     {"\033[B", 1},     {"\033OA", -1},   {"\033OB", 1},
		      {"\033[5~", -PAGE}, {"\033[6~", PAGE}, {"\033[H", -ALL}, {"\033[1~", -ALL}};
	for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
		size_t len = strlen(arrows[i].sequence);
		if (len > n || memcmp(keys, arrows[i].sequence, len) != 0)
			continue;
		scroll(s, arrows[i].lines);
		return len;
	}
	return 0;
}

/* An end of the input ends the run. */
static void take_keys(struct screen *s)
{
	char keys[32];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
	s->keys = s->keys && n > 0;
	s->leaving = s->leaving || n <= 0;
	for (ssize_t i = 0; i < n;) {
		size_t len = take_arrow(s, keys + i, (size_t)(n - i));
		if (len == 0)
			take_key(s, keys[i]);
		i += len > 0 ? (ssize_t)len : 1;
	}
}

static void take_signals(struct screen *s)
{
	struct signalfd_siginfo info;
	while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->leaving = s->leaving || info.ssi_signo != SIGWINCH;
}

/* Until the deadline, or something to react to. */
static bool screen_wait(struct screen *s, int64_t deadline_us)
{
	struct pollfd fds[2] = {{.fd = s->signals, .events = POLLIN},
				{.fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN}};
	int n = poll(fds, 2, clock_poll_ms(deadline_us));
	if (fds[0].revents)
		take_signals(s);
	if (fds[1].revents)
		take_keys(s);
	return n > 0;
}

/* Asked for at each frame, as the window may have changed. */
static struct panel_style style_of(const struct cli *cli)
{
	struct winsize size = {0};
	struct panel_style style = {.title = "memingest top", .color = cli->color};
	if (cli->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
		style.width = size.ws_col;
		style.height = size.ws_row;
	}
	return style;
}

/* What is to be seen: the keys, or the fleet; scrolled it has all partitions, however many. */
static void draw(const struct screen *s, const struct fleet *f, struct panel_style style,
		 struct buf *out)
{
	style.title = "memingest top (? keys)";
	style.by_lag = s->by_lag;
	if (s->top > 0)
		style.height = INT_MAX / 2;
	if (s->help)
		buf_puts(out, help_text);
	else
		panel_draw(f, &style, out);
}

static int count_lines(const char *text)
{
	int n = 0;
	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/*
 * Over the frame before, line by line, so that nothing flickers; what does not fit is left out. The
 * first line stays where it is.
 */
static void paint(struct screen *screen, const struct fleet *f, const struct cli *cli)
{
	struct buf out = {0};
	struct panel_style style = style_of(cli);
	int line = 0, shown = 0;
	draw(screen, f, style, &out);
	screen->top = MIN(screen->top, MAX(count_lines(buf_cstr(&out)) - style.height, 0));
	fputs(HOME, stdout);
	for (const char *s = buf_cstr(&out), *end; (end = strchr(s, '\n')); s = end + 1, line++) {
		if (line > 0 && line <= screen->top && !screen->help)
			continue;
		if (style.height > 0 && shown == style.height)
			break;
		printf("%s%.*s" CLEAR_LINE, shown++ > 0 ? "\n" : "", (int)(end - s), s);
	}
	fputs(CLEAR_REST, stdout);
	(void)fflush(stdout);
	buf_free(&out);
}

/* --- the two ways to run --- */

static void look(struct fleet *f, int64_t interval_us)
{
	fleet_look(f, MIN(MAX(interval_us, US_PER_S), TIMEOUT_MAX_US));
}

/* A new size paints again without a new look. */
static void run_live(struct fleet *f, const struct cli *cli, int64_t interval_us)
{
	struct screen s = {0};
	screen_open(&s);
	while (!s.leaving && !ferror(stdout)) {
		int64_t next_us = clock_mono_us() + interval_us;
		look(f, interval_us);
		paint(&s, f, cli);
		while (!s.leaving && screen_wait(&s, next_us))
			paint(&s, f, cli);
	}
	screen_close(&s);
}

/* Two looks, as rates are differences. */
static int run_once(struct fleet *f, const struct cli *cli, int64_t interval_us)
{
	struct buf out = {0};
	struct panel_style style = style_of(cli);
	style.height = 0;
	look(f, interval_us);
	(void)poll(NULL, 0, (int)(interval_us / US_PER_MS));
	look(f, interval_us);
	panel_draw(f, &style, &out);
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	return fleet_exit_code(f);
}

static bool parse_interval(const char *text, int64_t *us)
{
	char *end;
	double seconds = strtod(text, &end);
	bool valid = end > text && (*end == '\0' || strcmp(end, "s") == 0) && seconds >= 0.1 &&
		     seconds <= 3600;
	*us = valid ? (int64_t)(seconds * (double)US_PER_S) : 0;
	return valid;
}

static int run(struct cli *cli)
{
	struct fleet f;
	int64_t interval_us;
	int code = EXIT_OK;
	if (!parse_interval(cli_option(cli, "interval", "1"), &interval_us))
		return cli_fail(EXIT_USAGE, "top: --interval wants seconds from 0.1 to 3600");
	if (fleet_open(&f, cli, &code)) {
		if (cli->terminal && !cli_flag(cli, "once"))
			run_live(&f, cli, interval_us);
		else
			code = run_once(&f, cli, interval_us);
	}
	fleet_close(&f);
	return code;
}

static const struct cli_option options[] = {
	{"interval", "SECONDS", "time between two looks; default 1"},
	{"once", NULL, "one frame, after one interval; so also without a terminal"},
	{NULL, NULL, NULL},
};

const struct command command_top = {
	.name = "top",
	.usage = "[HOST:PORT | URL]... [--interval SECONDS] [--once]",
	.summary = "watch workers live: lag, rates, phases, lanes, partitions, last errors",
	.help = "Several addresses show a fleet; without one, the worker of the config's "
		"http.listen. ? tells "
		"the keys, q or Ctrl-C leaves.\n"
		"\n"
		"BEHIND and AGE are records that are not durable yet and the age of the oldest. "
		"OUT counts merged and "
		"superseded\n"
		"events. MEM is batch memory against its limit, POLL what the poll thread is busy, "
		"FOLD to WAIT what "
		"the lanes'\n"
		"time goes into; the rest of it they are idle. UNINDEXED are rows that a search by "
		"nearness reads\n"
		"one by one, OLDEST the age of the oldest of them, STALE the share of the rows in "
		"segments that have\n"
		"changed or gone.\n"
		"\n"
		"For programs: memingest status --json. Exit code of --once: 0 when all are ready, "
		"75 when one is not, 69 when one does "
		"not answer.",
	.no_json = true,
	.options = options,
	.run = run,
};
