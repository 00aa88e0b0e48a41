/*
 * writer.h - who writes a file: one process at a time, by a lock on a file beside it that names its
 * holder.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

/* PATH-writer, locked. Returns its descriptor, or -1: class RETRY, naming who holds it. */
int writer_lock(const char *path, struct err *err);
/* The same for another thing that one process at a time does beside the writer: PATH-WHAT. */
int writer_turn(const char *path, const char *what, struct err *err);
void writer_unlock(int fd); /* -1 is fine */
/* The lock is that of the file which path leads to now; fd -1: it is not. */
bool writer_holds(int fd, const char *path);
/* Who holds it, or false. */
bool writer_holder(const char *path, char *name, size_t size);

/* "host/pid" of this process: the holder, and the owner in memingest_offsets. */
void writer_name(char *name, size_t size);
