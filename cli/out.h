/* Printing for people: colours, tables, sizes, and text of strangers made harmless for a terminal. */
#pragma once

#include "cli/cli.h"

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_CYAN };
/* The escape sequence, or "" when there shall be no colours. */
const char *colour_on(bool has_colour, enum colour colour);
const char *colour_off(bool has_colour);

/* Control characters (but those in `allowed`) and bytes that are not UTF-8 become \xNN. */
void print_safe(FILE *to, struct hob_str text, const char *allowed);
/* The same into a buffer that is full at its limit. */
HOB_MUST_USE enum hob_code safe_text(struct hob_buf *out, struct hob_str text, const char *allowed);

enum { TABLE_COLUMNS_MAX = 8 };
struct table {
    size_t columns;
    char **cells; /* owned; rows of `columns` */
    size_t cells_n, cells_cap;
};
void table_init(struct table *t, size_t columns, const char *const *heads);
/* Copies; NULL becomes "-". Cells come row by row. */
void table_cell(struct table *t, const char *text);
HOB_PRINTF(2, 3) void table_cellf(struct table *t, const char *fmt, ...);
/* Prints with aligned columns and frees the cells. */
void table_print(struct cli *c, struct table *t);

/* One JSON document and a line end to stdout. */
void print_json(struct cli *c, const json_t *j);
/* A line to stderr that --quiet silences. */
HOB_PRINTF(2, 3) void note(struct cli *c, const char *fmt, ...);
void warn(struct cli *c, const char *fmt, ...) HOB_PRINTF(2, 3);

/* "12.3 MiB", "512 B"; "1.2 s", "35.1 ms"; "3m", "2h", "5d" */
void bytes_text(uint64_t bytes, char out[24]);
void millis_text(double ms, char out[24]);
void age_text(int64_t ms, char out[24]);
/* A point in time of an answer: ISO text or milliseconds since 1970; -1 when it is neither. */
int64_t time_of(const json_t *value);

/* y or Y on the terminal; HOB_E_INVALID without a terminal, HOB_E_CANCELLED on anything else. */
HOB_MUST_USE enum hob_code confirm(struct cli *c, const struct args *a, const char *question,
                                   struct hob_err *err);
/* A line without its end from the terminal (without echo) or from stdin to its end. */
HOB_MUST_USE enum hob_code read_secret(struct cli *c, const char *prompt, struct hob_buf *out,
                                       struct hob_err *err);
