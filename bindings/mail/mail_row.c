#include "bindings/mail/mail_row.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"

#include "base/banned.h"

enum { LINE_CHARS = 76, LINE_BYTES = 57, SUBJECT_BYTES_MAX = 512, WORD_BYTES = 42 };

struct parts {
    const char *subject, *text, *html; /* html NULL: none */
};
static const struct parts ours[] = {
    {"Please verify your e-mail for {{appName}}",
     "Hi,\n\nYou are being asked to confirm the e-mail address {{email}} with {{appName}}.\n\nOpen this link to "
     "confirm it:\n\n{{link}}\n",
     NULL},
    {"Password reset for {{appName}}",
     "Hi {{username}},\n\nYou requested to reset your password for {{appName}}.\n\nOpen this link to set a new "
     "one:\n\n{{link}}\n\nIf it was not you, nothing has to be done.\n",
     NULL},
};

bool mail_address(struct hob_str text, char out[321])
{
    const char *open = text.n ? memchr(text.at, '<', text.n) : NULL;
    if (open && text.at[text.n - 1] == '>')
        text = hob_str_n(open + 1, (size_t)(text.at + text.n - open) - 2);
    if (text.n < 3 || text.n > 320 || !memchr(text.at, '@', text.n) || text.at[0] == '-')
        return false;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char ch = (unsigned char)text.at[i];
        if (ch <= ' ' || ch == 0x7f || strchr("<>\"(),;:\\[]", ch))
            return false;
    }
    memcpy(out, text.at, text.n);
    out[text.n] = '\0';
    return true;
}

/* --- filling in --- */
static enum hob_code add_html(struct hob_buf *out, const char *s)
{
    static const char special[] = "&<>\"'";
    static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    enum hob_code rc = HOB_OK;
    for (; *s && rc == HOB_OK; s++) {
        const char *found = strchr(special, *s);
        rc = found ? hob_buf_add_str(out, hob_str(as[found - special])) : hob_buf_add(out, s, 1);
    }
    return rc;
}

static const char *word_of(const struct mail_words *w, struct hob_str name)
{
    if (hob_str_is(name, "appName"))
        return w->app_name;
    if (hob_str_is(name, "username"))
        return w->username;
    if (hob_str_is(name, "email"))
        return w->email;
    return hob_str_is(name, "link") ? w->link : NULL;
}

static enum hob_code fill(struct hob_buf *out, const char *template, const struct mail_words *w, bool is_html)
{
    enum hob_code rc = HOB_OK;
    while (*template && rc == HOB_OK) {
        const char *end = template[0] == '{' && template[1] == '{' ? strstr(template, "}}") : NULL;
        const char *word = end ? word_of(w, hob_str_n(template + 2, (size_t)(end - template) - 2)) : NULL;
        if (!word)
            rc = hob_buf_add(out, template, 1);
        else
            rc = is_html ? add_html(out, word) : hob_buf_add_str(out, hob_str(word));
        template = word ? end + 2 : template + 1;
    }
    return rc;
}

/* --- MIME --- */
static enum hob_code add_base64(struct hob_buf *out, struct hob_str s)
{
    char line[LINE_CHARS + 8];
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; i < s.n && rc == HOB_OK; i += LINE_BYTES) {
        size_t n = s.n - i < LINE_BYTES ? s.n - i : LINE_BYTES;
        (void)sodium_bin2base64(line, sizeof line, (const unsigned char *)s.at + i, n,
                                sodium_base64_VARIANT_ORIGINAL);
        rc = hob_buf_addf(out, "%s\r\n", line);
    }
    return rc;
}

static bool is_plain(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.at[i] < ' ' || (unsigned char)s.at[i] >= 0x7f)
            return false;
    }
    return true;
}

/* A head line of a text that may be anything: as it is, or in encoded words that break between characters. */
static enum hob_code add_head(struct hob_buf *out, const char *name, struct hob_str s)
{
    char word[80];
    if (s.n <= SUBJECT_BYTES_MAX / 8 && is_plain(s))
        return hob_buf_addf(out, "%s: %.*s\r\n", name, HOB_STR_ARG(s));
    if (s.n > SUBJECT_BYTES_MAX)
        s.n = SUBJECT_BYTES_MAX;
    enum hob_code rc = hob_buf_addf(out, "%s:", name);
    while (s.n && rc == HOB_OK) {
        size_t n = s.n < WORD_BYTES ? s.n : WORD_BYTES;
        while (n < s.n && n > 1 && ((unsigned char)s.at[n] & 0xc0) == 0x80)
            n--;
        (void)sodium_bin2base64(word, sizeof word, (const unsigned char *)s.at, n,
                                sodium_base64_VARIANT_ORIGINAL);
        rc = hob_buf_addf(out, " =?UTF-8?B?%s?=\r\n", word);
        s = hob_str_n(s.at + n, s.n - n);
    }
    return rc;
}

static enum hob_code add_part(struct hob_buf *out, const char *type, const char *template,
                              const struct mail_words *w)
{
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, MAIL_BYTES_MAX / 2);
    enum hob_code rc = fill(&text, template, w, strcmp(type, "html") == 0);
    if (rc == HOB_OK)
        rc = hob_buf_addf(
            out, "Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n", type);
    return rc == HOB_OK ? add_base64(out, hob_buf_str(&text)) : rc;
}

static enum hob_code add_heads(struct hob_buf *out, const char *from, const char *to, const char *subject,
                               const struct mail_words *w)
{
    char date[64], id[HOB_UUID_CHARS + 1];
    struct tm tm;
    time_t now = (time_t)(hob_utc_ms() / 1000);
    hob_auto_buf struct hob_buf line;
    hob_buf_init(&line, MAIL_ROW_BYTES_MAX);
    HOB_ASSERT(gmtime_r(&now, &tm) && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm) > 0);
    hob_uuid7(id);
    const char *host = strchr(from, '@');
    enum hob_code rc = fill(&line, subject, w, false);
    if (rc == HOB_OK)
        rc = hob_buf_addf(out, "From: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s%s>\r\n", from, to, date, id,
                          host);
    if (rc == HOB_OK)
        rc = add_head(out, "Subject", hob_buf_str(&line));
    return rc == HOB_OK ? hob_buf_addf(out, "MIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n") : rc;
}

static struct parts parts_of(const json_t *templates, const char *kind)
{
    bool is_verify = strcmp(kind, "verify") == 0;
    struct parts p = ours[is_verify ? 0 : 1];
    const json_t *own = json_object_get(templates, is_verify ? "verification" : "reset");
    const char *subject = json_string_value(json_object_get(own, "subject"));
    const char *text = json_string_value(json_object_get(own, "text"));
    p.subject = subject ? subject : p.subject;
    p.text = text ? text : p.text;
    p.html = json_string_value(json_object_get(own, "html"));
    return p;
}

enum hob_code mail_compose(const json_t *templates, const char *kind, const char *from,
                           const struct mail_words *w, struct hob_buf *out, struct hob_err *err)
{
    char from_address[321], to[321], boundary[33];
    struct parts p = parts_of(templates, kind);
    if (!mail_address(hob_str(from), from_address) || !mail_address(hob_str(w->email), to))
        return hob_fail(err, HOB_E_INVALID, "no mail can be sent from or to such an address");
    enum hob_code rc = add_heads(out, from_address, to, p.subject, w);
    if (rc == HOB_OK && !p.html)
        rc = add_part(out, "plain", p.text, w);
    if (rc == HOB_OK && p.html) {
        hob_random_hex(boundary, 16);
        rc = hob_buf_addf(out, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n--%s\r\n",
                          boundary, boundary);
        if (rc == HOB_OK)
            rc = add_part(out, "plain", p.text, w);
        if (rc == HOB_OK)
            rc = hob_buf_addf(out, "\r\n--%s\r\n", boundary);
        if (rc == HOB_OK)
            rc = add_part(out, "html", p.html, w);
        if (rc == HOB_OK)
            rc = hob_buf_addf(out, "\r\n--%s--\r\n", boundary);
    }
    return rc == HOB_OK ? HOB_OK
                        : hob_fail(err, HOB_E_TOO_LARGE, "a mail has at most %d bytes", MAIL_BYTES_MAX);
}
