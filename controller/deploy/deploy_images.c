/* Images of functions become IDs while their app is deployed, so that a version stays what it was: the node's Docker looks
 * the name up, pulls it with the app's secret, or builds it of a Dockerfile in the deployed tree. */
#include <sodium.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/deploy/deploy_priv.h"

#include "base/banned.h"

enum { AUTH_BYTES_MAX = 16384 };

/* What stands before the first '/' when it looks like a host; else Docker's own registry. */
static struct hob_str registry_of(const char *image)
{
    struct hob_str rest, host = hob_str_cut(hob_str(image), '/', &rest);
    bool is_host = rest.at && (memchr(host.at, '.', host.n) || memchr(host.at, ':', host.n) ||
                               hob_str_is(host, "localhost"));
    return is_host ? host : HOB_STR("https://index.docker.io/v1/");
}

/* X-Registry-Auth: base64url of a JSON object. */
static enum hob_code write_auth(const char *image, struct hob_str secret, char **ret_auth,
                                struct hob_err *err)
{
    struct hob_str password, user = hob_str_cut(secret, ':', &password);
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    hob_buf_init(&text, AUTH_BYTES_MAX);
    if (!password.at || !user.n)
        return hob_fail_reason(err, HOB_E_INVALID, "pull_refused",
                               "the registry's secret must be USER:PASSWORD; set it anew");
    hob_jw_init(&w, &text);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "username", user);
    hob_jw_kstr(&w, "password", password);
    hob_jw_kstr(&w, "serveraddress", registry_of(image));
    hob_jw_object_end(&w);
    if (hob_jw_end(&w, err) != HOB_OK)
        return err->code;
    size_t n = sodium_base64_encoded_len(text.n, sodium_base64_VARIANT_URLSAFE);
    *ret_auth = hob_calloc(1, n);
    (void)sodium_bin2base64(*ret_auth, n, (const unsigned char *)hob_buf_data(&text), text.n,
                            sodium_base64_VARIANT_URLSAFE);
    sodium_memzero(hob_buf_data(&text), text.n);
    return HOB_OK;
}

static enum hob_code open_registry(const struct deploy *dp, struct vault *v, const struct function_config *f,
                                   char **ret_auth, struct hob_err *err)
{
    hob_auto_buf struct hob_buf secret;
    hob_buf_init(&secret, HOB_MAX_SECRET_BYTES);
    if (!v || !f->registry_secret || !f->image)
        return HOB_OK;
    enum hob_code code = vault_get(v, dp->app, f->registry_secret, &secret, err);
    if (code == HOB_OK)
        code = write_auth(f->image, hob_buf_str(&secret), ret_auth, err);
    if (secret.n)
        sodium_memzero(hob_buf_data(&secret), secret.n);
    return code == HOB_OK ? code : hob_err_wrap(err, "function '%s'", f->name);
}

static void on_progress(void *ctx, struct hob_str text)
{
    struct deploy *dp = ctx;
    dp->progress(dp->ctx, text);
}

enum hob_code deploy_image_ask(struct deploy *dp, size_t i, node_engine_cb cb, struct hob_err *err)
{
    const struct function_config *f = &dp->manifest->functions[i];
    const struct deployer_options *o = deploy_options(dp);
    hob_auto_free char *auth = NULL;
    if (open_registry(dp, o->vault, f, &auth, err) != HOB_OK)
        return err->code;
    dp->question = node_engine_ask(o->nodes,
                                   &(struct node_engine_question){
                                       .verb = f->dockerfile ? "dockerfile" : "image",
                                       .name = f->dockerfile ? f->dockerfile : f->image,
                                       .pull = f->pull,
                                       .auth = auth,
                                       .digest = f->dockerfile ? dp->staged.digest : NULL,
                                       .app = dp->app,
                                       .progress = dp->progress ? on_progress : NULL,
                                   },
                                   cb, dp);
    if (auth)
        sodium_memzero(auth, strlen(auth));
    return HOB_OK;
}

enum hob_code deploy_image_take(struct deploy *dp, size_t i, struct hob_str json, const struct hob_err *why,
                                struct hob_err *err)
{
    struct function_config *f = &dp->manifest->functions[i];
    bool is_away = why && why->code == HOB_E_UNAVAILABLE &&
                   (!why->reason || strcmp(why->reason, "engine_unavailable") == 0);
    if (is_away && f->image) { /* as without Docker anything else: it starts when Docker comes */
        hob_log(HOB_LOG_WARN, "deploy.unresolved", "app=%s fn=%s image=%s %s", dp->app, f->name, f->image,
                why->msg);
        return HOB_OK;
    }
    if (why) {
        *err = *why;
        return hob_err_wrap(err, "function '%s'", f->name);
    }
    json_t *answer hob_auto_json = hob_json_parse(json, "the node's answer", err);
    const char *id = json_string_value(json_object_get(answer, "image"));
    if (!answer || !id || strncmp(id, "sha256:", 7) != 0 || strlen(id) != 71)
        return hob_fail(err, HOB_E_INTERNAL, "function '%s': the node names no image", f->name);
    f->image_id = hob_strdup(id);
    return HOB_OK;
}
