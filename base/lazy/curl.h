/* libcurl, opened when it is first called (base/lazy/lazy.h). */
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/lazy/lazy.h"

/* curl.h wraps these to count arguments */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

/* Whoever calls one more adds it here and below. */
#define LAZY_CURL_FUNCTIONS(X)                                                                               \
    X(curl_easy_cleanup)                                                                                     \
    X(curl_easy_getinfo)                                                                                     \
    X(curl_easy_init)                                                                                        \
    X(curl_easy_perform)                                                                                     \
    X(curl_easy_setopt) X(curl_easy_strerror) X(curl_global_init) X(curl_multi_add_handle)                   \
        X(curl_multi_assign) X(curl_multi_cleanup) X(curl_multi_info_read) X(curl_multi_init)                \
            X(curl_multi_remove_handle) X(curl_multi_setopt) X(curl_multi_socket_action)                     \
                X(curl_slist_append) X(curl_slist_free_all) X(curl_url) X(curl_url_cleanup) X(curl_url_set)

struct lazy_curl {
#define LAZY_MEMBER(name) __typeof__(name) *name##_;
    LAZY_CURL_FUNCTIONS(LAZY_MEMBER)
#undef LAZY_MEMBER
};
/* Any thread. */
const struct lazy_curl *lazy_curl(void);

#ifndef LAZY_NO_NAMES /* the file that fills the table wants the names as they are */
#define curl_easy_cleanup lazy_curl()->curl_easy_cleanup_
#define curl_easy_getinfo lazy_curl()->curl_easy_getinfo_
#define curl_easy_init lazy_curl()->curl_easy_init_
#define curl_easy_perform lazy_curl()->curl_easy_perform_
#define curl_easy_setopt lazy_curl()->curl_easy_setopt_
#define curl_easy_strerror lazy_curl()->curl_easy_strerror_
#define curl_multi_add_handle lazy_curl()->curl_multi_add_handle_
#define curl_multi_assign lazy_curl()->curl_multi_assign_
#define curl_multi_cleanup lazy_curl()->curl_multi_cleanup_
#define curl_multi_info_read lazy_curl()->curl_multi_info_read_
#define curl_multi_init lazy_curl()->curl_multi_init_
#define curl_multi_remove_handle lazy_curl()->curl_multi_remove_handle_
#define curl_multi_setopt lazy_curl()->curl_multi_setopt_
#define curl_multi_socket_action lazy_curl()->curl_multi_socket_action_
#define curl_slist_append lazy_curl()->curl_slist_append_
#define curl_slist_free_all lazy_curl()->curl_slist_free_all_
#define curl_url lazy_curl()->curl_url_
#define curl_url_cleanup lazy_curl()->curl_url_cleanup_
#define curl_url_set lazy_curl()->curl_url_set_
#endif
