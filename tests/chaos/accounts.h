/* accounts.h - the model and the receipts against the tables, and the proof that they see. */
#pragma once

#include "chaos.h"

void accounts_open(struct chaos *c);
void accounts_close(struct chaos *c);
/* How many events there were so far, for the verdict. */
void accounts_count(struct chaos *c);
/* Settles and compares. spoil: what to make wrong before, for good ("table"); NULL: nothing. */
void accounts_check(struct chaos *c, const char *spoil);
/* With no worker left: whether the sampler would have seen Kafka ahead, and an offset fall. */
void accounts_prove_samples(struct chaos *c);
/* After a clean check: whether it would have seen each kind of wrong. */
void accounts_prove(struct chaos *c);
