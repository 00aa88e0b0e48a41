/* base.h - attributes and small macros that every file may use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument is evaluated once: calls that do something stand in them. */
#define MIN(a, b) PICK_ONE(<, a, b, __COUNTER__)
#define MAX(a, b) PICK_ONE(>, a, b, __COUNTER__)
#define PICK_ONE(op, a, b, n) PICK_NAMED(op, a, b, n)
#define PICK_NAMED(op, a, b, n)                                                                    \
	({                                                                                         \
		__typeof__(1 ? (a) : (b)) a_##n = (a);                                             \
		__typeof__(1 ? (a) : (b)) b_##n = (b);                                             \
		a_##n op b_##n ? a_##n : b_##n;                                                    \
	})

/* How the program ends; after sysexits.h where it has one. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_USAGE = 64,       /* the command line is wrong */
	EXIT_DATA = 65,        /* input data was bad */
	EXIT_UNAVAILABLE = 69, /* a server could not be reached */
	EXIT_INTERNAL = 70,    /* a bug, or fenced for good */
	EXIT_AGAIN = 75,       /* try again later */
	EXIT_CONFIG = 78,      /* the configuration is wrong */
};

/* Bytes that somebody else owns. */
struct slice {
	const uint8_t *data;
	size_t len;
};

/* Ends the process, exit 70: "memingest: no thread: Resource temporarily unavailable; REMEDY". */
_Noreturn void die_without(const char *what, int error, const char *remedy);
_Noreturn void mem_exhausted(void); /* ends the process: a library says that there is no memory */
/* malloc and the like that never return NULL: out of memory ends the process (see mem.c). */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* cleared; an overflow of the product is out of memory */
void *xrealloc(void *p, size_t size);     /* p is void afterwards; NULL is fine */
char *xstrdup(const char *s);             /* free() it */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2); /* free() it */
