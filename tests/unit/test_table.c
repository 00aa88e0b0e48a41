/*
 * test_table.c - from annotations to a table, rule by rule, and what is refused.
 */
#include "codec_rig.h"

static struct table *open_table(struct schema **s, const char *pg, const char *fields)
{
	struct err err = {0};
	*s = rig_fields(pg, fields);
	struct table *t = table_new(*s, &err);
	ck_assert_msg(t, "%s", err.text);
	return t;
}

static void refused_schema(struct schema *s, const char *words)
{
	struct err err = {0};
	struct table *t = table_new(s, &err);
	ck_assert_msg(!t, "taken, but it should be refused: %s", words);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_msg(strstr(err.text, words), "'%s' lacks '%s'", err.text, words);
	schema_free(s);
}

static void refused(const char *pg, const char *fields, const char *words)
{
	refused_schema(rig_fields(pg, fields), words);
}

/* Every Avro type's column type when nothing is annotated, and the kind of the staged value. */
START_TEST(derived_types)
{
	static const struct {
		const char *avro, *sql;
		enum pg_kind kind;
	} cases[] = {
		{"'boolean'", "boolean", PG_BOOL},
		{"'int'", "integer", PG_INT4},
		{"'long'", "bigint", PG_INT8},
		{"'float'", "real", PG_FLOAT4},
		{"'double'", "double precision", PG_FLOAT8},
		{"'string'", "text", PG_TEXT},
		{"'bytes'", "bytea", PG_BYTEA},
		{"{'type':'fixed','name':'F','size':3}", "bytea", PG_BYTEA},
		{"{'type':'enum','name':'E','symbols':['A']}", "text", PG_TEXT},
		{"{'type':'int','logicalType':'date'}", "date", PG_DATE},
		{"{'type':'int','logicalType':'time-millis'}", "time", PG_TIME},
		{"{'type':'long','logicalType':'time-micros'}", "time", PG_TIME},
		{"{'type':'long','logicalType':'timestamp-millis'}", "timestamptz", PG_TIMESTAMP},
		{"{'type':'long','logicalType':'timestamp-micros'}", "timestamptz", PG_TIMESTAMP},
		{"{'type':'long','logicalType':'timestamp-nanos'}", "timestamptz", PG_TIMESTAMP},
		{"{'type':'long','logicalType':'local-timestamp-millis'}", "timestamp",
		 PG_TIMESTAMP},
		{"{'type':'string','logicalType':'uuid'}", "uuid", PG_UUID},
		{"{'type':'fixed','name':'F','size':16,'logicalType':'uuid'}", "uuid", PG_UUID},
		{"{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}", "numeric(9,2)",
		 PG_NUMERIC},
		{"{'type':'fixed','name':'F','size':12,'logicalType':'duration'}", "interval",
		 PG_INTERVAL},
		{"{'type':'array','items':'string'}", "text[]", PG_ARRAY},
		{"{'type':'array','items':['null','long']}", "bigint[]", PG_ARRAY},
		{"{'type':'array','items':'float'}", "real[]", PG_ARRAY},
		{"{'type':'array','items':{'type':'bytes','logicalType':'decimal','precision':9,'"
		 "scale':2}}",
		 "numeric(9,2)[]", PG_ARRAY},
		{"{'type':'array','items':{'type':'map','values':'int'}}", "jsonb", PG_JSONB},
		{"{'type':'map','values':'int'}", "jsonb", PG_JSONB},
		{"{'type':'record','name':'S','fields':[]}", "jsonb", PG_JSONB},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int nullable = 0; nullable < 2; nullable++) {
			char *fields =
				xasprintf("{'name':'f','type':%s%s%s}", nullable ? "['null'," : "",
					  cases[i].avro, nullable ? "]" : "");
			struct schema *s;
			struct table *t = open_table(&s, "", fields);
			ck_assert_str_eq(t->columns[1].type, cases[i].sql);
			ck_assert_str_eq(t->columns[1].stage_type, cases[i].sql);
			ck_assert_int_eq(t->columns[1].kind, cases[i].kind);
			ck_assert(t->columns[1].not_null == !nullable);
			ck_assert(!t->columns[1].cast);
			table_free(t);
			schema_free(s);
			free(fields);
		}
	}
}
END_TEST

/* What has no column type is an error that names field and type. */
START_TEST(no_column_type)
{
	refused("", "{'name':'f','type':'null'}", "field 'f': type null has no column type");
	refused("", "{'name':'f','type':['null','int','string']}",
		"field 'f': type union [null, int, string]");
	refused("", "{'name':'f','type':{'type':'array','items':{'type':'array','items':'int'}}}",
		"field 'f': type array");
	refused("", "{'name':'f','type':{'type':'array','items':['int','string']}}",
		"field 'f': type array");
	refused("", "{'name':'f','type':{'type':'bytes','logicalType':'decimal'}}",
		"logical type 'decimal'");
	refused("", "{'name':'f','type':'long','pg':{'type':'uuid'}}",
		"field 'f': type long cannot be stored as uuid");
	refused("", "{'name':'f','type':'string','pg':{'type':'numeric'}}",
		"type string cannot be stored as numeric");
	refused("", "{'name':'f','type':'string','pg':{'type':'geometry'}}",
		"geometry is not known; set pg.via");
	refused("", "{'name':'f','type':'string','pg':{'type':'inet','via':'cidr'}}",
		"cidr is not known");
	refused("",
		"{'name':'f','type':{'type':'array','items':'string'},'pg':{'type':'vector(3)'}}",
		"cannot be stored as vector(3)");
	refused("",
		"{'name':'f','type':{'type':'fixed','name':'F','size':13},'pg':{'type':'vector(3)'}"
		"}",
		"cannot be stored as vector(3)");
	refused("", "{'name':'f','type':'string','pg':{'type':'text; drop'}}", "no SQL type");
	refused("",
		"{'name':'f','type':{'type':'array','items':'float'},'pg':{'type':'vector(20000)'}"
		"}",
		"vector(20000)");
	refused("",
		"{'name':'f','type':{'type':'array','items':'string'},'pg':{'type':'citext[]'}}",
		"citext[]");
}
END_TEST

/* Annotated types and what they carry: dimensions, lengths, element ids, and via with its cast. */
START_TEST(annotated_types)
{
	struct schema *s;
	struct table *t =
		open_table(&s, "",
			   "{'name':'v','type':{'type':'array','items':'float'},'pg':{'type':'"
			   "vector(384)','storage':'plain'}},"
			   "{'name':'h','type':['null','bytes'],'pg':{'type':'halfvec(7)','"
			   "compression':'lz4'}},"
			   "{'name':'c','type':'string','pg':{'type':'varchar(12)'}},"
			   "{'name':'ca','type':{'type':'array','items':'string'},'pg':{'type':'"
			   "character varying(5)[]'}},"
			   "{'name':'ip','type':'string','pg':{'type':'inet','via':'text'}},"
			   "{'name':'vv','type':{'type':'array','items':'float'},'pg':{'type':'"
			   "vector(3)','via':'real[]'}},"
			   "{'name':'small','type':'int','pg':{'type':'smallint'}},{'name':'u','"
			   "type':'string','pg':{'type':'uuid'"
			   "}},"
			   "{'name':'any','type':['int','string'],'pg':{'type':'jsonb'}},{'name':'"
			   "ci','type':'string','pg':{'type'"
			   ":'citext'}},"
			   "{'name':'w','type':{'type':'long','logicalType':'timestamp-millis'},'"
			   "pg':{'type':'timestamp with time "
			   "zone'}}");
	const struct column *c = t->columns + 1;
	ck_assert_int_eq(c[0].kind, PG_VECTOR);
	ck_assert_uint_eq(c[0].dim, 384);
	ck_assert_str_eq(c[0].storage, "plain");
	ck_assert_ptr_null(c[0].compression);
	ck_assert_ptr_null(c[1].storage);
	ck_assert_str_eq(c[1].compression, "lz4");
	ck_assert_int_eq(c[1].kind, PG_HALFVEC);
	ck_assert_uint_eq(c[1].dim, 7);
	ck_assert_uint_eq(c[2].max_chars, 12);
	ck_assert_int_eq(c[3].element, PG_TEXT);
	ck_assert_uint_eq(c[3].element_oid, 1043);
	ck_assert_uint_eq(c[3].max_chars, 5);
	ck_assert(c[4].cast && c[4].kind == PG_TEXT);
	ck_assert_str_eq(c[4].type, "inet");
	ck_assert_str_eq(c[4].stage_type, "text");
	ck_assert(c[5].cast && c[5].kind == PG_ARRAY && c[5].element == PG_FLOAT4);
	ck_assert_uint_eq(c[5].dim, 3);
	ck_assert_int_eq(c[6].kind, PG_INT2);
	ck_assert_int_eq(c[7].kind, PG_UUID);
	ck_assert_int_eq(c[8].kind, PG_JSONB);
	ck_assert_int_eq(c[9].kind, PG_TEXT);
	ck_assert_int_eq(c[10].kind, PG_TIMESTAMP);
	table_free(t);
	schema_free(s);
}
END_TEST

/*
 * Key columns come first, in the order of the annotation; the others follow as declared; version
 * and delete find their place.
 */
START_TEST(order_of_columns)
{
	struct err err = {0};
	struct schema *s = rig_schema(
		"{'type':'record','name':'R','pg':{'table':'s.t','key':['b','a'],'version':'v',"
		"'delete':{'field':'op','symbol':'DEL'}},'fields':["
		"{'name':'x','type':'int'},{'name':'op','type':{'type':'enum','name':'E','symbols':"
		"['PUT','DEL']},"
		"'pg':{'column':false}},{'name':'a','type':'int'},{'name':'y','type':'int','pg':{'"
		"column':'yy'}},"
		"{'name':'b','type':'string'},{'name':'v','type':'long'}]}");
	struct table *t = table_new(s, &err);
	ck_assert_msg(t, "%s", err.text);
	static const char *const names[] = {"b", "a", "x", "yy", "v"};
	static const uint32_t fields[] = {4, 2, 0, 3, 5};
	ck_assert_uint_eq(t->ncolumns, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ck_assert_str_eq(t->columns[i].name, names[i]);
		ck_assert_uint_eq(t->columns[i].field, fields[i]);
	}
	ck_assert_uint_eq(t->nkeys, 2);
	ck_assert_int_eq(t->version, 4);
	ck_assert_int_eq(t->delete_field, 1);
	ck_assert_uint_eq(t->delete_symbol, 1);
	ck_assert_str_eq(t->schema, "s");
	ck_assert_str_eq(t->name, "t");
	ck_assert_str_eq(table_full_name(t), "s.t");
	table_free(t);
	schema_free(s);
}
END_TEST

/* Merge rules are taken where the fold and the SQL can do them, and refused elsewhere. */
START_TEST(merge_rules)
{
	struct schema *s;
	struct table *t = open_table(
		&s, "",
		"{'name':'a','type':'long','pg':{'merge':'add'}},{'name':'b','type':'double','pg':{"
		"'merge':'min'}},"
		"{'name':'c','type':{'type':'int','logicalType':'date'},'pg':{'merge':'max'}},"
		"{'name':'d','type':'string','pg':{'type':'jsonb','merge':'json'}},"
		"{'name':'e','type':'string','pg':{'merge':'keep'}},{'name':'f','type':'string','"
		"pg':{'merge':'"
		"coalesce'}},"
		"{'name':'g','type':'string'}");
	static const enum merge_rule rules[] = {MERGE_ADD,    MERGE_MIN,  MERGE_MAX,
						MERGE_JSON,   MERGE_KEEP, MERGE_COALESCE,
						MERGE_REPLACE};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		ck_assert_int_eq(t->columns[i + 1].merge, rules[i]);
	table_free(t);
	schema_free(s);
	refused("", "{'name':'f','type':'string','pg':{'merge':'add'}}", "cannot be merged so");
	refused("",
		"{'name':'f','type':{'type':'long','logicalType':'timestamp-micros'},'pg':{'merge':"
		"'add'}}",
		"cannot be merged so");
	refused("", "{'name':'f','type':'string','pg':{'merge':'min'}}", "cannot be merged so");
	refused("", "{'name':'f','type':'string','pg':{'merge':'json'}}", "cannot be merged so");
	refused("", "{'name':'f','type':'string','pg':{'type':'money','via':'text','merge':'add'}}",
		"cannot be merged so");
	refused("", "{'name':'f','type':'string','pg':{'merge':'latest'}}", "pg.merge is none of");
}
END_TEST

#define DECIMAL "{'type':'bytes','logicalType':'decimal','precision':9,'scale':4}"

/* A key is not null, of a type whose equal values have equal bytes, and plainly merged. */
START_TEST(keys)
{
	static const struct {
		const char *type, *pg, *words;
	} cases[] = {
		{"['null','int']", "", "may be null"},
		{"'float'", "", "cannot be a key"},
		{"'double'", "", "cannot be a key"},
		{"'string'", ",'pg':{'type':'jsonb'}", "cannot be a key"},
		{"'string'", ",'pg':{'type':'citext'}", "cannot be a key"},
		{"'string'", ",'pg':{'type':'char(3)'}", "cannot be a key"},
		{"'string'", ",'pg':{'type':'inet','via':'text'}", "cannot be a key"},
		{"{'type':'array','items':'float'}", ",'pg':{'type':'vector(3)'}",
		 "cannot be a key"},
		{"{'type':'array','items':'string'}", "", "cannot be a key"},
		{DECIMAL, ",'pg':{'type':'numeric(9,2)'}", "decimal of another scale"},
		{DECIMAL, ",'pg':{'type':'numeric(9,6)'}", "decimal of another scale"},
		{DECIMAL, ",'pg':{'type':'numeric(9)'}", "decimal of another scale"},
		{"'int'", ",'pg':{'merge':'max'}", "merge rule"},
		{"'int'", ",'pg':{'column':false}", "'f' is no column"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = xasprintf(
			"{'type':'record','name':'R','pg':{'table':'t','key':['f']},'fields':["
			"{'name':'x','type':'int'},{'name':'f','type':%s%s}]}",
			cases[i].type, cases[i].pg);
		refused_schema(rig_schema(text), cases[i].words);
		free(text);
	}
	refused_schema(rig_schema("{'type':'record','name':'R','pg':{'table':'t','key':[]},'fields'"
				  ":[{'name':'x','type'"
				  ":'int'}]}"),
		       "pg.key");
	refused_schema(rig_schema("{'type':'record','name':'R','pg':{'table':'t'},'fields':[{'name'"
				  ":'x','type':'int'}]}"),
		       "pg.key");
	refused_schema(rig_schema("{'type':'record','name':'R','pg':{'table':'t','key':['x','x']},'"
				  "fields':[{'name':'x'"
				  ",'type':'int'}]}"),
		       "stands twice");
}
END_TEST

/* Annotations of the record that do not fit it. */
START_TEST(record_annotations)
{
	static const char op[] = "{'name':'op','type':{'type':'enum','name':'E','symbols':['A']},'"
				 "pg':{'column':false}}";
	refused(",'version':'nope'", "", "pg.version");
	refused(",'version':'k'", "", "pg.version");
	refused(",'version':'f'", "{'name':'f','type':'double'}", "pg.version");
	refused(",'version':'f'", "{'name':'f','type':'string'}", "pg.version");
	refused(",'version':'f'", "{'name':'f','type':'long','pg':{'merge':'max'}}", "pg.version");
	refused(",'delete':{'field':'op','symbol':'B'}", op, "pg.delete");
	refused(",'delete':{'field':'k','symbol':'A'}", op, "pg.delete");
	refused(",'delete':{'feild':'op','symbol':'A'}", op, "unknown attribute \"feild\"");
	refused(",'kye':['k']", "", "unknown attribute \"kye\"");
	refused("", "{'name':'f','type':'int','pg':{'typ':'int'}}",
		"field 'f': \"pg\" has an unknown attribute \"typ\"");
	refused(",'indexes':[{'columns':['nope']}]", "", "'nope'");
	refused(",'indexes':[{}]", "", "neither");
	refused(",'indexes':{}", "", "pg.indexes");
	refused(",'storage':{'fillfactor':'90); drop'}", "", "pg.storage");
	refused(",'storage':{'a b':1}", "", "pg.storage");
	refused("", "{'name':'f','type':'string','pg':{'storage':'outside'}}", "pg.storage");
	refused("", "{'name':'f','type':'string','pg':{'compression':'zstd'}}", "pg.compression");
	refused("", "{'name':'f','type':'string','pg':{'compression':1}}", "pg.compression");
	refused_schema(
		rig_schema("{'type':'record','name':'R','fields':[{'name':'x','type':'int'}]}"),
		"no annotation \"pg\"");
	refused_schema(rig_schema("'int'"), "is a record");
	refused_schema(rig_schema("{'type':'record','name':'R','pg':{'key':['x']},'fields':[{'name'"
				  ":'x','type':'int'}]}"),
		       "pg.table");
	refused_schema(rig_schema("{'type':'record','name':'R','pg':{'table':'a.','key':['x']},'"
				  "fields':[{'name':'x','"
				  "type':'int'}]}"),
		       "pg.table");
}
END_TEST

/* Proves: created_at from the event is one more column over that field, whose least value counts.
 */
START_TEST(created_by_the_event)
{
	static const struct {
		const char *field;
		const char *words;
	} wrong[] = {
		{"{'name':'v','type':'long'}", "pg.created_at names no column"},
		{"{'name':'w','type':'long'}", "pg.created_at names no column of type timestamptz"},
		{"{'name':'w','type':['null',{'type':'long','logicalType':'timestamp-micros'}]}",
		 "never null"},
		{"{'name':'w','type':{'type':'long','logicalType':'local-timestamp-micros'}}",
		 "of type timestamptz"},
		{"{'name':'w','type':{'type':'long','logicalType':'timestamp-micros'},"
		 "'pg':{'column':false}}",
		 "pg.created_at names no column"},
	};
	struct schema *s;
	struct table *t = open_table(&s, ",'created_at':'w'",
				     "{'name':'w','type':{'type':'long','logicalType':'timestamp-"
				     "millis'},'pg':{'column':'at'}},{'name':'z','type':'int'}");
	ck_assert_uint_eq(t->ncolumns, 4);
	const struct column *c = &t->columns[3];
	ck_assert_str_eq(c->name, "created_at");
	ck_assert_uint_eq(c->field, t->columns[1].field);
	ck_assert_int_eq(c->kind, PG_TIMESTAMP);
	ck_assert_int_eq(c->merge, MERGE_MIN);
	ck_assert_str_eq(c->default_sql, "now()");
	ck_assert(c->not_null);
	table_free(t);
	schema_free(s);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		refused(",'created_at':'w'", wrong[i].field, wrong[i].words);
}
END_TEST

/* Proves: an index takes our own columns, orders and levels, and nothing that is none of these. */
START_TEST(indexes)
{
	static const struct {
		const char *json, *sql;
		enum index_level level;
	} cases[] = {
		{"{'columns':['u','created_at DESC']}", "(\"u\", \"created_at\" DESC)", LEVEL_LEAN},
		{"{'columns':['updated_at'],'level':'lean'}", "(\"updated_at\")", LEVEL_LEAN},
		{"{'columns':['u desc nulls last','k ASC'],'level':'all'}",
		 "(\"u\" DESC NULLS LAST, \"k\" ASC)", LEVEL_ALL},
		{"{'columns':['a desc','a desc nulls first']}",
		 "(\"a desc\", \"a desc\" NULLS FIRST)", LEVEL_LEAN},
		{"{'columns':['k'],'unique':true}", "(\"k\")", LEVEL_ALWAYS},
		{"{'sql':'USING gin (u)','level':'all'}", "USING gin (u)", LEVEL_ALL},
	};
	static const char fields[] = "{'name':'u','type':'string'},{'name':'f','type':'int',"
				     "'pg':{'column':'a desc'}}";
	struct buf list = {0};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		buf_printf(&list, "%s%s", i ? "," : ",'indexes':[", cases[i].json);
	buf_puts(&list, "]");
	struct schema *s;
	struct table *t = open_table(&s, buf_cstr(&list), fields);
	buf_free(&list);
	ck_assert_uint_eq(t->nindexes, ARRAY_LEN(cases));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ck_assert_str_eq(t->indexes[i].sql, cases[i].sql);
		ck_assert_int_eq(t->indexes[i].level, cases[i].level);
	}
	table_free(t);
	schema_free(s);
	refused(",'indexes':[{'columns':['u DOWN']}]", fields, "'u DOWN', which is no column");
	refused(",'indexes':[{'columns':[' DESC']}]", fields, "' DESC', which is no column");
	refused(",'indexes':[{'columns':['u'],'level':'some'}]", fields, "none of lean, all");
	refused(",'indexes':[{'columns':['u'],'level':'all','unique':true}]", fields,
		"a unique index is always made");
	refused(",'indexes':[{'columns':['u'],'name':'i'},{'columns':['k'],'name':'i'}]", fields,
		"two indexes have the name \"i\"");
	refused(",'indexes':[{'columns':['u'],'sql':'(k)'}]", fields, "\"sql\", which says all");
	refused(",'indexes':[{'sql':''}]", fields, "\"sql\" of an index is no text");
}
END_TEST

/* Names: reserved ones, doubles, too long ones. */
START_TEST(column_names)
{
	refused("", "{'name':'created_at','type':'int'}", "created_at is reserved");
	refused("", "{'name':'updated_at','type':'int'}", "reserved");
	refused("", "{'name':'_part','type':'int'}", "reserved");
	refused("", "{'name':'_op','type':'int'}", "reserved");
	refused("", "{'name':'xmin','type':'int'}", "reserved");
	refused("", "{'name':'f','type':'int','pg':{'column':'k'}}", "belongs to field 'k'");
	refused("", "{'name':'f','type':'int','pg':{'column':''}}", "no SQL name");
	refused("",
		"{'name':'f','type':'int','pg':{'column':'"
		"a234567890123456789012345678901234567890123456789012345678901234'}}",
		"no SQL name");
}
END_TEST

/* More columns than PostgreSQL has. */
START_TEST(too_many_columns)
{
	struct buf fields = {0};
	struct schema *s;
	for (int i = 0; i < 1597; i++)
		buf_printf(&fields, "%s{'name':'f%d','type':'int'}", i > 0 ? "," : "", i);
	struct table *t = open_table(&s, "", buf_cstr(&fields));
	ck_assert_uint_eq(t->ncolumns, 1598);
	table_free(t);
	schema_free(s);
	buf_puts(&fields, ",{'name':'one_more','type':'int'}");
	refused("", buf_cstr(&fields), "field 'one_more': it is one too many");
	buf_free(&fields);
}
END_TEST

/* Indexes, storage parameters and defaults, as the SQL that goes into DDL. */
START_TEST(sql_texts)
{
	struct schema *s;
	struct table *t = open_table(&s,
				     ",'indexes':[{'columns':['a','k'],'unique':true,'name':'x'},{'"
				     "using':'gin','columns':['l']},{'sql':'("
				     "lower(s))'}],"
				     "'storage':{'fillfactor':90,'autovacuum_enabled':false,'"
				     "autovacuum_vacuum_scale_factor':0.5}",
				     "{'name':'a','type':'int','default':-3},{'name':'b','type':'"
				     "boolean','default':true},"
				     "{'name':'c','type':'string','default':'it\\u0027s \\\\ "
				     "here'},{'name':'d','type':'double','default':0.5},"
				     "{'name':'l','type':{'type':'array','items':'string'},'"
				     "default':[]},{'name':'n','type':['null','string'"
				     "],'default':null},"
				     "{'name':'s','type':'string','pg':{'default':'current_user'}},"
				     "{'name':'m','type':{'type':'map','values'"
				     ":'int'},'default':{}},"
				     "{'name':'t','type':{'type':'long','logicalType':'timestamp-"
				     "micros'},'default':0},{'name':'w','type':'"
				     "string'}");
	ck_assert_uint_eq(t->nindexes, 3);
	ck_assert_str_eq(t->indexes[0].sql, "(\"a\", \"k\")");
	ck_assert_str_eq(t->indexes[0].name, "x");
	ck_assert(t->indexes[0].unique);
	ck_assert_str_eq(t->indexes[1].sql, "USING \"gin\" (\"l\")");
	ck_assert_ptr_null(t->indexes[1].name);
	ck_assert_str_eq(t->indexes[2].sql, "(lower(s))");
	ck_assert_str_eq(t->storage, "fillfactor = 90, autovacuum_enabled = false, "
				     "autovacuum_vacuum_scale_factor = 0.5");
	static const char *const defaults[] = {"-3",   "true", "E'it''s \\\\ here'", "0.5",
					       "'{}'", NULL,   "current_user",       "'{}'",
					       NULL,   NULL};
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		const char *got = t->columns[i + 1].default_sql;
		ck_assert_msg((got && defaults[i] && strcmp(got, defaults[i]) == 0) ||
				      (!got && !defaults[i]),
			      "%s: %s", t->columns[i + 1].name, got ? got : "none");
	}
	table_free(t);
	schema_free(s);
}
END_TEST

/* The shipped streams are the tables of the contract. */
START_TEST(shipped)
{
	static const struct {
		const char *path, *table, *key1, *key2;
		size_t ncolumns;
	} streams[] = {
		{"schemas/memory_event.avsc", "memory_entries", "namespace", "key", 13},
		{"schemas/pattern_event.avsc", "patterns", "name", "pattern_type", 9},
		{"schemas/trajectory_event.avsc", "trajectories", "trajectory_id", "step_number",
		 8},
		{"tests/schemas/everything.avsc", "all_of_it", "tenant", "part", 53},
	};
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct err err = {0};
		struct schema *s = rig_schema_file(streams[i].path);
		struct table *t = table_new(s, &err);
		ck_assert_msg(t, "%s", err.text);
		ck_assert_str_eq(t->name, streams[i].table);
		ck_assert_uint_eq(t->nkeys, 2);
		ck_assert_str_eq(t->columns[0].name, streams[i].key1);
		ck_assert_str_eq(t->columns[1].name, streams[i].key2);
		ck_assert_uint_eq(t->ncolumns, streams[i].ncolumns);
		ck_assert_int_ge(t->version, 0);
		ck_assert_int_ge(t->delete_field, 0);
		table_free(t);
		schema_free(s);
	}
}
END_TEST

#define TEXT_FIELD "{'name':'v','type':'string'}"
#define EMBED_FIELD(type, pg)                                                                      \
	"{'name':'e','type':" type ",'default':null,'pg':{'type':'vector(3)'," pg "}}"
#define FLOATS "['null',{'type':'array','items':'float'}]"
#define EMBED_M "'embed':{'from':'v','model':'m'}"
#define EMBED_OTHER(model)                                                                         \
	"{'name':'f','type':" FLOATS ",'default':null,'pg':{'type':'vector(3)','embed':{'from':"   \
	"'v','model':'" model "'}}}"

/* Vectors that are made of a text: what the annotation says, and where it would go wrong. */
START_TEST(embeds)
{
	struct schema *s;
	struct table *t = open_table(
		&s, "",
		TEXT_FIELD
		"," EMBED_FIELD(FLOATS, "'embed':{'from':'v','model':'m','prefix':'p: '}"));
	ck_assert_uint_eq(t->embeds[0].vector, 2);
	ck_assert_uint_eq(t->embeds[0].text, 1);
	ck_assert_str_eq(t->embeds[0].model, "m");
	ck_assert_str_eq(t->embeds[0].prefix, "p: ");
	ck_assert_str_eq(t->embeds[0].query_prefix, "p: ");
	ck_assert(t->embeds[0].normalize);
	table_free(t);
	schema_free(s);
	t = open_table(&s, "",
		       TEXT_FIELD "," EMBED_FIELD(FLOATS, "'embed':{'from':'v','model':'m','prefix'"
							  ":'p: ','query_prefix':'q: '}"));
	ck_assert_str_eq(t->embeds[0].prefix, "p: ");
	ck_assert_str_eq(t->embeds[0].query_prefix, "q: ");
	table_free(t);
	schema_free(s);
	t = open_table(&s, "", EMBED_OTHER("n") "," TEXT_FIELD "," EMBED_FIELD(FLOATS, EMBED_M));
	ck_assert_uint_eq(t->nembeds, 2);
	ck_assert_str_eq(t->embeds[0].model, "n");
	ck_assert_uint_eq(t->embeds[0].vector, 1);
	ck_assert_str_eq(t->embeds[1].model, "m");
	ck_assert_uint_eq(t->embeds[1].vector, 3);
	ck_assert_int_eq(table_embed_of(t, 1), 0);
	ck_assert_int_eq(table_embed_of(t, 2), -1);
	ck_assert_int_eq(table_embed_of(t, 3), 1);
	table_free(t);
	schema_free(s);
	static const struct {
		const char *fields, *words;
	} bad[] = {
		{TEXT_FIELD "," EMBED_FIELD(FLOATS, "'embed':{'from':'v'}"), "model is missing"},
		{TEXT_FIELD "," EMBED_OTHER("m") "," EMBED_FIELD(FLOATS, EMBED_M),
		 "columns f and e are both of \"m\""},
		{TEXT_FIELD "," EMBED_FIELD(FLOATS, "'embed':{'model':'m'}"), "from: '' is no"},
		{TEXT_FIELD "," EMBED_FIELD(FLOATS, "'embed':{'from':'k','model':'m'}"),
		 "is no text"},
		{TEXT_FIELD "," EMBED_FIELD(FLOATS, "'embed':{'from':'v','model':'m','x':1}"),
		 "\"x\""},
		{TEXT_FIELD
		 "," EMBED_FIELD(FLOATS, "'embed':{'from':'v','model':'m','normalize':1}"),
		 "neither true nor false"},
		{TEXT_FIELD
		 "," EMBED_FIELD(FLOATS, "'merge':'coalesce','embed':{'from':'v','model':'m'}"),
		 "merge rule"},
		{"{'name':'v','type':'string','pg':{'merge':'keep'}}," EMBED_FIELD(
			 FLOATS, "'embed':{'from':'v','model':'m'}"),
		 "merge rule"},
		{TEXT_FIELD ",{'name':'e','type':{'type':'array','items':'float'},'pg':{'type':"
			    "'vector(3)','embed':{'from':'v','model':'m'}}}",
		 "has no null"},
		{TEXT_FIELD ",{'name':'e','type':" FLOATS ",'pg':{'type':'vector',"
			    "'embed':{'from':'v','model':'m'}}}",
		 "is no vector(n)"},
		{TEXT_FIELD ",{'name':'e','type':" FLOATS ",'pg':{'type':'real[]',"
			    "'embed':{'from':'v','model':'m'}}}",
		 "is no vector(n)"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refused("", bad[i].fields, bad[i].words);
}
END_TEST

#define SEARCH_FIELD(name, search)                                                                 \
	"{'name':'" name "','type':" FLOATS ",'default':null,'pg':{'type':'vector(3)','search':"   \
	"{'distance':'l2','filter':['v','w']" search "}}}"

/* Several searched columns: each but one has a name, and all have the same filters. */
START_TEST(searches)
{
	static const char filters[] = TEXT_FIELD ",{'name':'w','type':'string'},";
	static const struct {
		const char *fields, *words;
	} bad[] = {
		{SEARCH_FIELD("e", "") "," SEARCH_FIELD("f", ""), "give the later one a \"name\""},
		{SEARCH_FIELD("e", ",'name':'n'") "," SEARCH_FIELD("f", ",'name':'n'"),
		 "columns e and f are both searched"},
		{SEARCH_FIELD("e", ",'name':1"), "pg.search.name is no text"},
		{SEARCH_FIELD("e", ",'name':''"), "pg.search.name"},
		{SEARCH_FIELD("e", "") ",{'name':'f','type':" FLOATS
				       ",'pg':{'type':'vector(3)','search':{'filter':['w','v'],"
				       "'name':'n'}}}",
		 "not searched by the same filters in the same order"},
	};
	struct schema *s;
	char *fields = xasprintf("%s%s,%s", filters, SEARCH_FIELD("e", ""),
				 SEARCH_FIELD("f", ",'name':'n'"));
	struct table *t = open_table(&s, "", fields);
	ck_assert_uint_eq(t->nsearches, 2);
	ck_assert_ptr_null(t->searches[0].name);
	ck_assert_str_eq(t->searches[1].name, "n");
	ck_assert_str_eq(t->columns[t->searches[1].vector].name, "f");
	ck_assert(table_is_searched(t, t->searches[0].vector));
	ck_assert(table_is_searched(t, t->searches[1].vector));
	ck_assert(table_is_searched(t, t->searches[1].filters[1]));
	ck_assert(!table_is_searched(t, 0));
	table_free(t);
	schema_free(s);
	free(fields);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		fields = xasprintf("%s%s", filters, bad[i].fields);
		refused("", fields, bad[i].words);
		free(fields);
	}
}
END_TEST

static Suite *table_suite(void)
{
	Suite *s = suite_create("table");
	TCase *t = tcase_create("table");
	tcase_add_test(t, derived_types);
	tcase_add_test(t, no_column_type);
	tcase_add_test(t, annotated_types);
	tcase_add_test(t, order_of_columns);
	tcase_add_test(t, merge_rules);
	tcase_add_test(t, keys);
	tcase_add_test(t, record_annotations);
	tcase_add_test(t, created_by_the_event);
	tcase_add_test(t, indexes);
	tcase_add_test(t, column_names);
	tcase_add_test(t, too_many_columns);
	tcase_add_test(t, sql_texts);
	tcase_add_test(t, shipped);
	tcase_add_test(t, embeds);
	tcase_add_test(t, searches);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(table_suite)
