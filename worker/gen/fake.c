/*
 * fake.c - seeded randomness that looks like something: words, sentences, small JSON objects, unit
 * vectors.
 *
 * Made for speed, as benchmarks draw from it: xoshiro256** (Blackman and Vigna, public domain) for
 * bits; a sentence takes its words from a list of 128, so that 64 random bits are nine words; a
 * vector is a copy of one from a pool, turned a little.
 *
 *   pool: POOL_VECTORS of length 1 per dimension asked for, made at first use from the seed alone
 *   turn: TURNS rotations, each in the plane of two axes: the length stays 1, the cosine to the
 *         original stays near 1
 *
 * The same seed gives the same values in the same order of calls; vectors of another dimension
 * change nothing for the first.
 *
 * Thread: one owner. Failure: none.
 */
#include "gen/fake.h"

#include <math.h>
#include <stdlib.h>

enum { POOL_VECTORS = 256, TURNS = 8, TURN_STEPS = 64, MAX_POOLS = 8 };

struct pool {
	uint32_t dim;
	float *vectors, *scratch;
};

struct fake {
	uint64_t seed, s[4];
	struct pool pools[MAX_POOLS];
	float cos[TURN_STEPS], sin[TURN_STEPS];
};

static const char *const words[] = {
	"agent",    "memory",   "user",    "asked",   "about",     "the",        "weather",
	"in",       "Lisbon",   "and",     "prefers", "short",     "answers",    "tool",
	"call",     "returned", "an",      "error",   "retry",     "after",      "two",
	"seconds",  "invoice",  "number",  "was",     "sent",      "to",         "support",
	"project",  "deadline", "moved",   "Friday",  "morning",   "meeting",    "with",
	"Ana",      "who",      "likes",   "green",   "tea",       "flight",     "booked",
	"from",     "Berlin",   "window",  "seat",    "plan",      "step",       "search",
	"query",    "found",    "three",   "results", "document",  "chunk",      "summary",
	"of",       "chapter",  "seven",   "graph",   "node",      "edge",       "weight",
	"reward",   "positive", "state",   "changed", "door",      "open",       "left",
	"turn",     "goal",     "reached", "path",    "shorter",   "than",       "expected",
	"remember", "password", "policy",  "never",   "share",     "secrets",    "budget",
	"limit",    "is",       "forty",   "euros",   "language",  "Portuguese", "timezone",
	"UTC",      "calendar", "entry",   "created", "updated",   "deleted",    "by",
	"owner",    "team",     "delta",   "release", "notes",     "bug",        "fixed",
	"database", "index",    "vector",  "nearest", "neighbour", "cosine",     "distance",
	"small",    "large",    "model",   "context", "window",    "tokens",     "cost",
	"latency",  "p99",      "under",   "ten",     "ms",        "holds",      "steady",
	"today",    "again",
};
_Static_assert(ARRAY_LEN(words) == 128, "seven bits choose a word");

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t fake_bits(struct fake *f)
{
	uint64_t *s = f->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t fake_below(struct fake *f, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)fake_bits(f) * n) >> 64);
}

double fake_real(struct fake *f)
{
	return (double)(fake_bits(f) >> 11) * 0x1p-53;
}

/* splitmix64: any seed, zero too, gives a good state. */
static void seed_state(uint64_t s[4], uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		s[i] = z ^ (z >> 31);
	}
}

/* The angles that a vector may be turned by are computed once. */
struct fake *fake_new(uint64_t seed)
{
	struct fake *f = xcalloc(1, sizeof(*f));
	f->seed = seed;
	seed_state(f->s, seed);
	for (int i = 0; i < TURN_STEPS; i++) {
		double angle = 0.3 * (i - TURN_STEPS / 2.0) / TURN_STEPS;
		f->cos[i] = (float)cos(angle);
		f->sin[i] = (float)sin(angle);
	}
	return f;
}

void fake_free(struct fake *f)
{
	for (size_t i = 0; f && i < MAX_POOLS; i++) {
		free(f->pools[i].vectors);
		free(f->pools[i].scratch);
	}
	free(f);
}

const char *fake_word(struct fake *f)
{
	return words[fake_bits(f) >> 57];
}

void fake_sentence(struct fake *f, struct buf *out, size_t max)
{
	uint64_t bits = fake_bits(f);
	size_t begin = out->len, n = 5 + (bits & 7);
	bits >>= 3;
	for (size_t i = 0; i < n; i++, bits >>= 7) {
		if (i == 8)
			bits = fake_bits(f);
		if (i > 0)
			buf_u8(out, ' ');
		buf_puts(out, words[bits & 127]);
	}
	uint8_t *first = out->data + begin;
	if (*first >= 'a' && *first <= 'z')
		*first = (uint8_t)(*first - 'a' + 'A');
	buf_u8(out, '.');
	if (max > 0 && out->len - begin > max)
		out->len = begin + max;
}

void fake_json(struct fake *f, struct buf *out)
{
	uint64_t bits = fake_bits(f);
	buf_printf(out,
		   "{\"topic\":\"%s\",\"turn\":%u,\"score\":0.%03u,\"pinned\":%s,\"path\":[\"%s\","
		   "\"%s\"]}",
		   words[bits & 127], (unsigned)(bits >> 7 & 255), (unsigned)(bits >> 15 & 511),
		   bits >> 24 & 1 ? "true" : "false", words[bits >> 25 & 127],
		   words[bits >> 32 & 127]);
}

/*
 * The sum of four even numbers is bell-shaped enough: directions come out without a preferred axis.
 */
static void fill_pool(struct pool *p, uint64_t seed)
{
	struct fake source = {0};
	seed_state(source.s, seed ^ ((uint64_t)p->dim << 32));
	p->vectors = xmalloc((size_t)POOL_VECTORS * p->dim * sizeof(float));
	/* room for one component too many */
	p->scratch = xmalloc(((size_t)p->dim + 1) * sizeof(float));
	for (size_t v = 0; v < POOL_VECTORS; v++) {
		float *x = p->vectors + v * p->dim;
		double sum = 0;
		for (uint32_t i = 0; i < p->dim; i++) {
			x[i] = (float)(fake_real(&source) + fake_real(&source) +
				       fake_real(&source) + fake_real(&source) - 2);
			sum += (double)x[i] * x[i];
		}
		double length = sqrt(sum);
		for (uint32_t i = 0; i < p->dim; i++)
			x[i] = length > 0 ? (float)(x[i] / length) : 0;
	}
}

/* Made at first use, from the seed alone: other draws do not change it. */
static struct pool *pool_of(struct fake *f, uint32_t dim)
{
	struct pool *p = f->pools;
	while (p < f->pools + MAX_POOLS - 1 && p->vectors && p->dim != dim)
		p++;
	if (p->vectors && p->dim == dim)
		return p;
	free(p->vectors); /* more dimensions than pools: the last one serves the rest in turn */
	free(p->scratch);
	p->dim = dim;
	fill_pool(p, f->seed);
	return p;
}

/* Turning keeps the length at 1. Good until the next call; room for one float more. */
float *fake_vector(struct fake *f, uint32_t dim)
{
	struct pool *p = pool_of(f, dim);
	float *x = p->scratch;
	memcpy(x, p->vectors + fake_below(f, POOL_VECTORS) * dim, dim * sizeof(float));
	for (int t = 0; dim > 1 && t < TURNS; t++) {
		uint64_t bits = fake_bits(f);
		size_t i = (bits & 0xffffff) % dim, j = (bits >> 24 & 0xffffff) % dim,
		       step = bits >> 58;
		if (i == j)
			continue;
		float a = x[i], b = x[j];
		x[i] = f->cos[step] * a - f->sin[step] * b;
		x[j] = f->sin[step] * a + f->cos[step] * b;
	}
	return x;
}
