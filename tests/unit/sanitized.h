/*
 * sanitized.h - whether this build has a sanitizer, with its own use of time and memory; and a
 * limit of memory where there is none.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/*
 * So much more address space than there is now; beyond it the process ends. Not under a sanitizer,
 * nor under valgrind (MEMINGEST_TEST_VALGRIND).
 */
static inline void allow_memory(size_t more)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	ck_assert(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	struct rlimit limit = {pages * 4096 + more, RLIM_INFINITY};
	if (!SANITIZED && !getenv("MEMINGEST_TEST_VALGRIND"))
		ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}
