#include "bindings/files/s3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lazy/curl.h"
#include "base/mem.h"

enum { CONNECT_MS = 5000, STALL_S = 20, STALL_BYTES = 1024, TIME_MS = 600000 };
/* SHA-256 of nothing: what GET and DELETE send. */
static const char empty_digest[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct transfer {
    CURL *easy;
    struct curl_slist *fields;
    int fd; /* read from, or written to; -1: the answer is dropped */
    long status;
};

static char *encode_blanks(const char *text)
{
    char *encoded = hob_new_n(char, 3 * strlen(text) + 1), *to = encoded;
    for (; *text; text++) {
        if (*text == ' ') {
            memcpy(to, "%20", 3);
            to += 3;
        } else {
            *to++ = *text;
        }
    }
    return encoded;
}

/* "https://HOST/BUCKET/PREFIXNAME", or "https://BUCKET.HOST/PREFIXNAME". Names were judged: nothing needs encoding but
 * blanks. */
static char *object_url(const struct blob_place *p, const struct blob *b)
{
    const char *host = strstr(p->endpoint, "://") + 3;
    int scheme_n = (int)(host - p->endpoint);
    size_t host_n = strlen(host);
    while (host_n && host[host_n - 1] == '/')
        host_n--;
    hob_auto_free char *plain = hob_asprintf("%s%s", p->prefix, b->name);
    hob_auto_free char *name = encode_blanks(plain);
    char *url =
        p->is_path_style
            ? hob_asprintf("%.*s%.*s/%s/%s", scheme_n, p->endpoint, (int)host_n, host, p->bucket, name)
            : hob_asprintf("%.*s%s.%.*s/%s", scheme_n, p->endpoint, p->bucket, (int)host_n, host, name);
    return url;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
    const struct transfer *t = ctx;
    ssize_t got = read(t->fd, to, size * n);
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static size_t on_write(char *from, size_t size, size_t n, void *ctx)
{
    const struct transfer *t = ctx;
    struct hob_err ignored;
    if (t->fd >= 0 && hob_write_all(t->fd, hob_str_n(from, size * n), "the file", &ignored) != HOB_OK)
        return 0;
    return size * n;
}

static void transfer_init(struct transfer *t, const struct blob_place *p, const struct blob *b,
                          const char *digest)
{
    hob_auto_free char *url = object_url(p, b), *sign = hob_asprintf("aws:amz:%s:s3", p->region),
                       *user = hob_asprintf("%s:%s", p->key_id, p->secret),
                       *hash = hob_asprintf("x-amz-content-sha256: %s", digest);
    t->easy = curl_easy_init();
    HOB_ASSERT(t->easy);
    t->fields = curl_slist_append(t->fields, hash);
    (void)curl_easy_setopt(t->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(t->easy, CURLOPT_AWS_SIGV4, sign);
    (void)curl_easy_setopt(t->easy, CURLOPT_USERPWD, user);
    (void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
    (void)curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    (void)curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
    (void)curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)TIME_MS);
    (void)curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
    (void)curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    explicit_bzero(user, strlen(user));
}

static enum hob_code transfer_run(struct transfer *t, const struct blob_place *p, const struct blob *b,
                                  struct hob_err *err)
{
    CURLcode rc = curl_easy_perform(t->easy);
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->fields);
    if (rc != CURLE_OK)
        return hob_fail(err, HOB_E_UNAVAILABLE, "the file store (bucket '%s') cannot be reached: %.100s",
                        p->bucket, curl_easy_strerror(rc));
    if (t->status == 404)
        return hob_fail(err, HOB_E_NOT_FOUND, "the bytes of the file '%s' are not in the bucket '%s'",
                        b->name, p->bucket);
    if (t->status < 200 || t->status > 299)
        return hob_fail(err, HOB_E_UNAVAILABLE, "the file store (bucket '%s') answered with status %ld",
                        p->bucket, t->status);
    return HOB_OK;
}

enum hob_code s3_put(const struct blob_place *p, const struct blob *b, const char *path, struct hob_err *err)
{
    struct transfer t = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    hob_auto_free char *type = hob_asprintf("Content-Type: %s", b->type);
    if (t.fd < 0)
        return hob_fail_errno(err, errno, "reading the upload");
    t.fields = curl_slist_append(NULL, type);
    transfer_init(&t, p, b, b->digest);
    (void)curl_easy_setopt(t.easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(t.easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(t.easy, CURLOPT_READDATA, &t);
    (void)curl_easy_setopt(t.easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)b->bytes);
    int from = t.fd;
    struct transfer drop = t;
    drop.fd = -1; /* what the store says beside its status is not ours to keep */
    (void)curl_easy_setopt(t.easy, CURLOPT_WRITEDATA, &drop);
    enum hob_code rc = transfer_run(&t, p, b, err);
    (void)close(from);
    return rc;
}

enum hob_code s3_open(const struct blob_place *p, const struct blob *b, const char *tmp_dir, int *ret_fd,
                      struct hob_err *err)
{
    struct transfer t = {.fd = hob_open_nameless(tmp_dir, err)};
    int to = t.fd;
    if (to < 0)
        return err->code;
    transfer_init(&t, p, b, empty_digest);
    if (transfer_run(&t, p, b, err) != HOB_OK) {
        (void)close(to);
        return err->code;
    }
    *ret_fd = to;
    return HOB_OK;
}

enum hob_code s3_drop(const struct blob_place *p, const struct blob *b, struct hob_err *err)
{
    struct transfer t = {.fd = -1};
    transfer_init(&t, p, b, empty_digest);
    (void)curl_easy_setopt(t.easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    enum hob_code rc = transfer_run(&t, p, b, err);
    return rc == HOB_E_NOT_FOUND ? HOB_OK : rc;
}
