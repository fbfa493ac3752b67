/* What the dashboard asks first, and the paths of the protocol that are not served yet: each says so, so that nobody takes
 * silence for success. Events of analytics are taken and dropped, as Parse Server does without an adapter. */
#include "bindings/call_priv.h"

static const char server_info[] =
    "{\"features\":{"
    "\"globalConfig\":{\"create\":true,\"read\":true,\"update\":true,\"delete\":true},"
    "\"hooks\":{\"create\":true,\"read\":true,\"update\":true,\"delete\":true},"
    "\"cloudCode\":{\"jobs\":true},"
    "\"logs\":{\"level\":false,\"size\":false,\"order\":false,\"until\":false,\"from\":false},"
    "\"push\":{\"immediatePush\":false,\"scheduledPush\":false,\"storedPushData\":false,\"pushAudiences\":false,"
    "\"localization\":false},"
    "\"schemas\":{\"addField\":true,\"removeField\":true,\"addClass\":true,\"removeClass\":true,"
    "\"clearAllDataFromClass\":true,\"exportClass\":false,\"editClassLevelPermissions\":true,"
    "\"editPointerPermissions\":true},"
    "\"settings\":{\"securityCheck\":false}},"
    "\"parseServerVersion\":\"8.0.0\"}";

static void serve_info(struct backend_call *c)
{
    (void)!hob_buf_add_str(&c->out, hob_str(server_info));
    ask_finish(c);
}

static void serve_event(struct backend_call *c)
{
    ask_finish(c);
}

static void refuse_push(struct backend_call *c)
{
    (void)parse_fail(&c->err, PARSE_PUSH_MISCONFIGURED, "Push is not supported yet");
    ask_fail(c);
}

static void refuse(struct backend_call *c)
{
    (void)parse_fail(&c->err, PARSE_COMMAND_UNAVAILABLE, "%.*s is not supported yet",
                     HOB_STR_ARG(c->request.path));
    ask_fail(c);
}

const struct backend_route admin_routes[] = {
    {"GET", "/serverInfo", ROUTE_FLOW, NEED_MASTER_READ, NULL, serve_info},
    {"POST", "/events/:name", ROUTE_FLOW, NEED_NOTHING, NULL, serve_event},
    {"POST", "/push", ROUTE_FLOW, NEED_MASTER, NULL, refuse_push},
    {"GET", "/push_audiences", ROUTE_FLOW, NEED_MASTER_READ, NULL, refuse_push},
    {"POST", "/push_audiences", ROUTE_FLOW, NEED_MASTER, NULL, refuse_push},
    {"GET", "/push_audiences/:id", ROUTE_FLOW, NEED_MASTER_READ, NULL, refuse_push},
    {"PUT", "/push_audiences/:id", ROUTE_FLOW, NEED_MASTER, NULL, refuse_push},
    {"DELETE", "/push_audiences/:id", ROUTE_FLOW, NEED_MASTER, NULL, refuse_push},
    {"GET", "/scriptlog", ROUTE_FLOW, NEED_MASTER_READ, NULL, refuse},
    {"GET", "/security", ROUTE_FLOW, NEED_MASTER_READ, NULL, refuse},
    {"GET", "/graphql-config", ROUTE_FLOW, NEED_MASTER_READ, NULL, refuse},
    {"PUT", "/graphql-config", ROUTE_FLOW, NEED_MASTER, NULL, refuse},
    {"POST", "/graphql", ROUTE_FLOW, NEED_NOTHING, NULL, refuse},
    {"POST", "/validate_purchase", ROUTE_FLOW, NEED_NOTHING, NULL, refuse},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
