/*
 * procfs.h - CPU time of a process with all its children, as the kernel counts it.
 */
#pragma once

#include "base/base.h"

/*
 * User and system time, in microseconds, of a process, of those of its children that live and of
 * those that it has waited for. It only grows, so the difference of two readings is what happened
 * between them, exited children included. -1: no such process.
 */
int64_t procfs_tree_cpu_us(int pid);

/* Peak resident memory of this process in KiB, since exec. */
int64_t procfs_peak_kib(void);
