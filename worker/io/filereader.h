/*
 * filereader.h - a thread that reads a file and decodes its records, a block of
 * them at a time, ahead of who takes them.
 *
 * A block is the reader's until filereader_take(), then the taker's until filereader_give().
 */
#pragma once

#include "base/buf.h"
#include "codec/decode.h"
#include "io/files.h"

struct file_record {
	int64_t number; /* from 0 */
	bool ok;
	size_t row; /* in bytes; where it is not ok, its text in the file, and raw_len */
	size_t raw_len;
	uint64_t line;        /* 0: a container has none */
	struct record record; /* also why it is not ok */
	struct err *err;      /* of one that is not ok */
};

struct file_block {
	size_t file; /* its number among the files */
	struct buf bytes;
	struct file_record *records;
	size_t n;
	bool ended;     /* behind these records the file ends, at this number: */
	int64_t end;    /* how many it has */
	struct err err; /* of the end: class NONE, POISON (damaged), CONFIG (it cannot be read) */
	uint64_t read;  /* bytes of the file so far */
	/* the reader's own */
	uint64_t order;
	struct file_block *next;
};

struct filereader;

/* Borrows files. It reads nothing before filereader_go(). */
struct filereader *filereader_start(const struct files *files);
/* From that record to the end of the file; blocks of before are dropped, but for those that were
 * taken. */
void filereader_go(struct filereader *r, size_t file, int64_t number);
int filereader_fd(const struct filereader *r);            /* readable when there is a block */
struct file_block *filereader_take(struct filereader *r); /* NULL: none yet */
void filereader_give(struct filereader *r, struct file_block *b);
/* Also when it waits for a pipe. NULL is fine. */
void filereader_stop(struct filereader *r);
