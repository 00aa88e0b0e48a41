/*
 * failpoint.h - named places where a test build fails when it is told to. In the program that is
 * shipped there are none: without FAIL_POINTS the macros are nothing.
 *
 *   MEMINGEST_TEST_FAIL="after_copy=kill@3,in_claim=error"
 *
 *   ORDERS   ORDER, or several with commas between them
 *   ORDER    POINT=ACTION, at its first passing; POINT=ACTION@N, at its Nth, counted over all
 *            threads
 *   ACTION   kill       SIGKILL to itself
 *            stop:MS    the whole process stands still for so long, and its threads of libraries
 *                       with it: a frozen machine
 *            sleep:MS   this thread alone does
 *            error      what the place does when it fails
 *
 * Each order is obeyed once, and says so in the log before it is: "fail point", with point and
 * action; and "fail point is over" behind stop and sleep. What cannot be read ends the process.
 *
 * "make" links build/.../memingest-failing of these files and the same library (tests/system/
 * test_failpoints.c).
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

#ifdef FAIL_POINTS
/* True: the place is to fail. */
bool failpoint(const char *name);
/* The same, and what has failed is said in err, of class RETRY. */
bool failpoint_err(const char *name, struct err *err);
/* The place is there where this thread next waits for what it has sent; NULL: there is none. */
void failpoint_when_sent(const char *name);
const char *failpoint_sent(void);
#define FAIL_POINT(name) failpoint(name)
#define FAIL_POINT_ERR(name, err) failpoint_err(name, err)
#define FAIL_POINT_WHEN_SENT(name) failpoint_when_sent(name)
#else
#define FAIL_POINT(name) false
#define FAIL_POINT_ERR(name, err) ((void)(err), false)
#define FAIL_POINT_WHEN_SENT(name) ((void)0)
#endif
