#include "base/lazy/lazy.h"

#include <dlfcn.h>
#include <pthread.h>

#define LAZY_NO_NAMES
#include "base/lazy/curl.h"
#include "base/lazy/jose.h"
#include "base/log.h"

void lazy_open(const char *library, const struct lazy_symbol *symbols, size_t n)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        hob_log(HOB_LOG_ERROR, "library.missing", "%s",
                dlerror()); /* NOLINT(concurrency-mt-unsafe): per thread */
    HOB_ASSERT(handle);
    for (size_t i = 0; i < n; i++) {
        *symbols[i].place = dlsym(handle, symbols[i].name);
        HOB_ASSERT(*symbols[i].place);
    }
}

#define SYMBOL(name) {#name, (void **)&TABLE.name##_},

#define TABLE curl_table
static struct lazy_curl curl_table;
static const struct lazy_symbol curl_symbols[] = {LAZY_CURL_FUNCTIONS(SYMBOL)};
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void open_curl(void)
{
    lazy_open("libcurl.so.4", curl_symbols, HOB_COUNT(curl_symbols));
    HOB_ASSERT(curl_table.curl_global_init_(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}
const struct lazy_curl *lazy_curl(void)
{
    (void)pthread_once(&curl_once, open_curl);
    return &curl_table;
}
#undef TABLE

#define TABLE jose_table
static struct lazy_jose jose_table;
static const struct lazy_symbol jose_symbols[] = {LAZY_JOSE_FUNCTIONS(SYMBOL)};
static pthread_once_t jose_once = PTHREAD_ONCE_INIT;
static void open_jose(void)
{
    lazy_open("libcjose.so.0", jose_symbols, HOB_COUNT(jose_symbols)); /* with libcrypto */
}
const struct lazy_jose *lazy_jose(void)
{
    (void)pthread_once(&jose_once, open_jose);
    return &jose_table;
}
#undef TABLE
