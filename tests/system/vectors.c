/*
 * vectors.c - a stand-in for a server of vectors.
 *
 *   number d of a text's vector = the first 24 bits of md5("d/text"), less 2^23
 *
 * which SQL can say as well, and a float holds exactly. Another salt stands in front of the text,
 * and so does the name of another model than "stub".
 */
#include "vectors.h"

#include <check.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CANARY_BEGINS "The quick brown fox"

/* What a connection was opened with, which it keeps. */
static intptr_t salt_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return (intptr_t)info->socket_context;
}

static float number_of(int with, int d, const char *model, const char *text)
{
	unsigned char md5[EVP_MAX_MD_SIZE];
	char salt[16] = "";
	if (with)
		snprintf(salt, sizeof(salt), "%d ", with);
	bool other = strcmp(model, "stub") != 0;
	char *whole =
		xasprintf("%d/%s%s%s%s", d, salt, other ? model : "", other ? ": " : "", text);
	EVP_Digest(whole, strlen(whole), md5, NULL, EVP_md5(), NULL);
	free(whole);
	return (float)((md5[0] << 16 | md5[1] << 8 | md5[2]) - (1 << 23));
}

static void put_base64(struct buf *out, const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16;
		bits |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
		bits |= i + 2 < n ? p[i + 2] : 0;
		for (size_t k = 0; k < 4; k++)
			buf_u8(out, i + k > n ? '=' : (uint8_t)digits[bits >> (18 - 6 * k) & 63]);
	}
}

static bool takes(atomic_int *left)
{
	int n = atomic_load(left);
	while (n > 0)
		if (atomic_compare_exchange_weak(left, &n, n - 1))
			return true;
	return false;
}

static void put_vector(struct vectors *v, int salt, struct buf *out, const char *model,
		       const char *text, bool base64, bool nan)
{
	float numbers[384];
	for (int d = 0; d < v->dim; d++)
		numbers[d] = number_of(salt, d + 1, model, text);
	if (base64 && !nan) {
		buf_u8(out, '"');
		put_base64(out, (const uint8_t *)numbers, 4 * (size_t)v->dim);
		buf_u8(out, '"');
		return;
	}
	buf_u8(out, '[');
	for (int d = 0; d < v->dim; d++)
		if (nan && d == 1)
			buf_puts(out, ",NaN");
		else
			buf_printf(out, "%s%.1f", d ? "," : "", (double)numbers[d]);
	buf_u8(out, ']');
}

/* The answer for all inputs. */
static void put_answer(struct vectors *v, int salt, const char *model, json_t *input, bool base64,
		       struct buf *out)
{
	size_t n = json_array_size(input), first = v->shuffled ? n / 2 : 0;
	bool many = n > 1, nan = many && takes(&v->nans), empty = many && takes(&v->empties);
	size_t twice = many && takes(&v->twice) ? 1 : 0;
	size_t given = many && takes(&v->shorts) ? n - 1 : n;
	if (many && takes(&v->errors)) {
		buf_puts(out, "{\"error\":{\"message\":\"out of memory\"}}");
		return;
	}
	buf_puts(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < given; i++) {
		size_t k = (first + i) % n;
		const char *text = json_string_value(json_array_get(input, k));
		buf_printf(out, "%s{\"object\":\"embedding\",", i ? "," : "");
		if (!v->unindexed)
			buf_printf(out, "\"index\":%zu,", twice ? k / 2 : k);
		buf_puts(out, "\"embedding\":");
		if (empty && i == 1)
			buf_puts(out, "[]");
		else
			put_vector(v, salt, out, model, text, base64, nan && i == 1);
		buf_u8(out, '}');
	}
	buf_printf(out, "],\"usage\":{\"prompt_tokens\":%zu}}", 3 * n + (size_t)v->over);
}

static bool has_poison(const struct vectors *v, json_t *input)
{
	const char *poison = v->poison;
	for (size_t i = 0; poison && i < json_array_size(input); i++)
		if (strstr(json_string_value(json_array_get(input, i)), poison))
			return true;
	return false;
}

static void count(struct vectors *v, const char *model, json_t *input)
{
	int n = (int)json_array_size(input), most = v->most_seen;
	const char *text = json_string_value(json_array_get(input, 0));
	if (n == 1 && strncmp(text, CANARY_BEGINS, strlen(CANARY_BEGINS)) == 0) {
		v->canaries++;
		return;
	}
	v->requests++;
	v->inputs += n;
	v->others += strcmp(model, "stub") != 0 ? n : 0;
	while (n > most && !atomic_compare_exchange_weak(&v->most_seen, &most, n))
		continue;
}

static unsigned refuse_with(struct buf *out, unsigned status, const char *words)
{
	buf_printf(out, "{\"error\":{\"message\":\"%s\",\"type\":\"x\"}}", words);
	return status;
}

/* Returns the status; 0: no answer. */
static unsigned answer(struct vectors *v, int salt, const struct buf *body,
		       const char *authorization, struct buf *out)
{
	char wanted[64];
	json_t *request = json_loadb((const char *)body->data, body->len, 0, NULL);
	json_t *input = json_object_get(request, "input");
	const char *format = json_string_value(json_object_get(request, "encoding_format"));
	const char *model = json_string_value(json_object_get(request, "model"));
	const char *only = v->only;
	bool me = !only || (model && strcmp(only, model) == 0);
	unsigned status = 200;
	snprintf(wanted, sizeof(wanted), "Bearer %s", v->key);
	if (salt != v->salt) /* its server is gone */
		status = 0;
	else if (!json_is_array(input) || !model)
		status = refuse_with(out, 400, "no input");
	else if (me && v->key[0] && (!authorization || strcmp(authorization, wanted) != 0))
		status = refuse_with(out, 401, "wrong key");
	else if (takes(&v->resets))
		status = 0;
	else if (me && takes(&v->failing))
		status = refuse_with(out, (unsigned)v->status, "not now");
	else if (v->no_base64 && format)
		status = refuse_with(out, 400, "encoding_format is not known");
	else if (v->most && json_array_size(input) > (size_t)v->most)
		status = refuse_with(out, v->too_busy ? 503 : 413, "too many inputs");
	else if (me && has_poison(v, input))
		status = refuse_with(out, 400, "a text is too long for this model");
	else
		put_answer(v, salt, model, input, format && !v->plain, out);
	if (status == 200)
		count(v, model, input);
	json_decref(request);
	return status;
}

static void opened(void *ctx, struct MHD_Connection *connection, void **context,
		   enum MHD_ConnectionNotificationCode code)
{
	struct vectors *v = ctx;
	(void)connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = (void *)(intptr_t)v->salt;
}

static enum MHD_Result serve(void *ctx, struct MHD_Connection *connection, const char *url,
			     const char *method, const char *version, const char *data,
			     size_t *size, void **state)
{
	struct vectors *v = ctx;
	struct buf *body = *state, out = {0};
	(void)method;
	(void)version;
	if (!body) {
		*state = xcalloc(1, sizeof(*body));
		return MHD_YES;
	}
	if (*size > 0) {
		buf_put(body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	struct timespec delay = {v->delay_ms / 1000, v->delay_ms % 1000 * 1000000L};
	nanosleep(&delay, NULL);
	unsigned status = strcmp(url, "/v1/embeddings") != 0
				  ? 404
				  : answer(v, (int)salt_of(connection), body,
					   MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
								       "Authorization"),
					   &out);
	enum MHD_Result result = MHD_NO;
	if (status) {
		char seconds[16];
		struct MHD_Response *r =
			MHD_create_response_from_buffer(out.len, out.data, MHD_RESPMEM_MUST_COPY);
		snprintf(seconds, sizeof(seconds), "%d", v->retry_after);
		if (status == 429 && v->retry_after)
			MHD_add_response_header(r, "Retry-After", seconds);
		if (v->closing)
			MHD_add_response_header(r, "Connection", "close");
		result = MHD_queue_response(connection, status, r);
		MHD_destroy_response(r);
	}
	buf_free(&out);
	return result;
}

static void over(void *ctx, struct MHD_Connection *connection, void **state,
		 enum MHD_RequestTerminationCode why)
{
	struct buf *body = *state;
	(void)ctx;
	(void)connection;
	(void)why;
	if (body)
		buf_free(body);
	free(body);
	*state = NULL;
}

struct vectors *vectors_start(struct bed *bed)
{
	struct vectors *v = xcalloc(1, sizeof(*v));
	v->dim = VECTORS_DIM;
	v->port = free_port();
	v->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL,
		(uint16_t)v->port, NULL, NULL, serve, v, MHD_OPTION_NOTIFY_COMPLETED, over, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, opened, v, MHD_OPTION_END);
	ck_assert_ptr_nonnull(v->daemon);
	bed_set(bed, "embed.stub.url", "http://127.0.0.1:%u/v1", v->port);
	return v;
}

void vectors_stop(struct vectors *v)
{
	MHD_stop_daemon(v->daemon);
	free(v);
}

struct bed *vectors_bed(const char *name)
{
	struct bed *bed = bed_new(name);
	bed_stream_files(bed, "told", 2, "tests/schemas/told_event.avsc", NULL);
	bed_set(bed, "batch.max_age", "50ms");
	bed_set(bed, "embed.stub.max_inputs", "16");
	bed_sql(bed, "CREATE FUNCTION vector_of(t text, n int) RETURNS vector LANGUAGE sql AS $$"
		     " SELECT array_agg((('x' || substr(md5(d || '/' || t), 1, 6))::bit(24)::int"
		     " - 8388608)::real ORDER BY d)::vector FROM generate_series(1, n) d $$");
	return bed;
}

void vectors_tell(struct bed *bed, int number, int version, const char *text)
{
	char id[32];
	snprintf(id, sizeof(id), "id-%d", number);
	json_t *e = json_pack("{s:I, s:s, s:s?}", "event_time",
			      (json_int_t)1750000000000000 + version, "id", id, "note", text);
	bed_event(bed, "told", number % 2, e);
	json_decref(e);
}

void vectors_tell_notes(struct bed *bed, int from, int to, int version)
{
	char text[64];
	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "note \"%d\" of version %d\n", i, version);
		vectors_tell(bed, i, version, text);
	}
	bed_flush(bed);
}

void vectors_tell_mine(struct bed *bed)
{
	json_t *e = json_pack("{s:I, s:s, s:s, s:[i,i,i,i,i,i,i,i]}", "event_time",
			      (json_int_t)1750000000000000, "id", "mine", "note", "any", "spot", 1,
			      2, 3, 4, 5, 6, 7, 8);
	bed_event(bed, "told", 0, e);
	json_decref(e);
}

struct bed *vectors_migrated(const char *name, struct vectors **v)
{
	struct bed *bed = vectors_bed(name);
	*v = vectors_start(bed);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

void vectors_over(struct bed *bed, struct vectors *v, struct worker *w)
{
	if (w)
		worker_stop(w);
	vectors_stop(v);
	bed_free(bed);
}

int64_t vectors_wrong(struct bed *bed)
{
	return bed_int(bed,
		       "SELECT count(*) FROM told WHERE spot IS DISTINCT FROM CASE WHEN note <> ''"
		       " THEN vector_of(note, 8) END");
}
