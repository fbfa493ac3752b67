#include "api/parse/openapi_priv.h"

#include <string.h>

#define OBJECTS "objects"
#define USERS "users"
#define SESSIONS "sessions"
#define ROLES "roles"
#define INSTALLATIONS "installations"
#define SCHEMAS "schemas"
#define FILES "files"
#define CLOUD "cloud code"
#define CONFIG "config"
#define PUSH "push"
#define SERVER "server"
#define PAGES "pages of mails"

/* clang-format off */
const struct parse_doc parse_docs[] = {
    {"GET", "/classes/:class", OBJECTS, "findObjects", "Find objects that the caller may see", QUERY_FIND, NULL, "Found", 200},
    {"POST", "/classes/:class", OBJECTS, "createObject", "Create an object; Location says where", QUERY_NONE, "Object", "Created", 201},
    {"GET", "/classes/:class/:id", OBJECTS, "getObject", "One object", QUERY_VIEW, NULL, "Object", 200},
    {"PUT", "/classes/:class/:id", OBJECTS, "updateObject", "Change members; operations are atomic, their results are answered", QUERY_NONE, "Object", "Updated", 200},
    {"DELETE", "/classes/:class/:id", OBJECTS, "deleteObject", "Delete an object", QUERY_NONE, NULL, "Nothing", 200},
    {"GET", "/aggregate/:class", OBJECTS, "aggregate", "A pipeline of stages over a class, or its distinct values", QUERY_AGGREGATE, NULL, "Found", 200},
    {"POST", "/batch", OBJECTS, "batch", "Several requests in one, each with its own answer; with transaction all or none", QUERY_NONE, "Batch", "BatchAnswer[]", 200},

    {"POST", "/users", USERS, "signUp", "Sign up, or log in by authData; 200 when the user was there", QUERY_NONE, "User", "SignedUp", 201},
    {"GET", "/users", USERS, "findUsers", "Find users that the caller may see", QUERY_FIND, NULL, "Found", 200},
    {"GET", "/users/me", USERS, "getOwnUser", "The user of the session, with the session's token", QUERY_VIEW, NULL, "User", 200},
    {"GET", "/users/:id", USERS, "getUser", "One user", QUERY_VIEW, NULL, "User", 200},
    {"PUT", "/users/:id", USERS, "updateUser", "Change oneself; a new password brings a new sessionToken", QUERY_NONE, "User", "Updated", 200},
    {"DELETE", "/users/:id", USERS, "deleteUser", "Delete oneself", QUERY_NONE, NULL, "Nothing", 200},
    {"GET", "/login", USERS, "logIn", "Log in (rather by POST: addresses are logged)", QUERY_LOGIN, NULL, "User", 200},
    {"POST", "/login", USERS, "logInByBody", "Log in by name or address and password", QUERY_NONE, "Credentials", "User", 200},
    {"GET", "/verifyPassword", USERS, "verifyPassword", "As log-in, without a session", QUERY_LOGIN, NULL, "User", 200},
    {"POST", "/verifyPassword", USERS, "verifyPasswordByBody", "As log-in, without a session", QUERY_NONE, "Credentials", "User", 200},
    {"POST", "/loginAs", USERS, "logInAs", "A session for any user (master)", QUERY_NONE, "LoginAs", "User", 200},
    {"POST", "/logout", USERS, "logOut", "End the session of the token", QUERY_NONE, NULL, "Nothing", 200},
    {"POST", "/challenge", USERS, "challenge", "What providers ask before a log-in", QUERY_NONE, "Challenge", "ChallengeAnswer", 200},
    {"POST", "/requestPasswordReset", USERS, "requestPasswordReset", "Send a mail with a link to set a new password", QUERY_NONE, "Email", "Nothing", 200},
    {"POST", "/verificationEmailRequest", USERS, "requestVerification", "Send another mail with a link to verify an address", QUERY_NONE, "Email", "Nothing", 200},
    {"POST", "/pages/verify_email", PAGES, "verifyEmail", "Verify the address that a mail's token is about", QUERY_NONE, "Token", "Nothing", 200},
    {"POST", "/pages/check_reset", PAGES, "checkReset", "Whose password a mail's token may set", QUERY_NONE, "Token", "ResetCheck", 200},
    {"POST", "/pages/reset_password", PAGES, "resetPassword", "Set a password by a mail's token", QUERY_NONE, "Reset", "Nothing", 200},
    {"POST", "/auth/token", USERS, "makeServiceToken", "A short-lived JSON Web Token for another service", QUERY_NONE, "ServiceTokenBody", "ServiceToken", 200},
    {"POST", "/auth/keys/rotate", USERS, "rotateKeys", "Change the key that signs such tokens", QUERY_NONE, "RotateBody", "object", 200},
    {"GET", "/auth/jwks", USERS, "getKeys", "The public keys of such tokens", QUERY_NONE, NULL, "Keys", 200},

    {"GET", "/sessions", SESSIONS, "findSessions", "The caller's sessions", QUERY_FIND, NULL, "Found", 200},
    {"POST", "/sessions", SESSIONS, "createSession", "Another session, for a device that cannot log in itself", QUERY_NONE, "Object", "Session", 201},
    {"GET", "/sessions/me", SESSIONS, "getOwnSession", "The session of the token", QUERY_VIEW, NULL, "Session", 200},
    {"GET", "/sessions/:id", SESSIONS, "getSession", "One of the caller's sessions", QUERY_VIEW, NULL, "Session", 200},
    {"PUT", "/sessions/:id", SESSIONS, "updateSession", "Change its own members", QUERY_NONE, "Object", "Updated", 200},
    {"DELETE", "/sessions/:id", SESSIONS, "deleteSession", "End a session", QUERY_NONE, NULL, "Nothing", 200},
    {"POST", "/upgradeToRevocableSession", SESSIONS, "upgradeSession", "A session in place of an old token", QUERY_NONE, NULL, "Session", 200},

    {"GET", "/roles", ROLES, "findRoles", "Find roles", QUERY_FIND, NULL, "Found", 200},
    {"POST", "/roles", ROLES, "createRole", "Create a role; its name stays", QUERY_NONE, "Role", "Created", 201},
    {"GET", "/roles/:id", ROLES, "getRole", "One role", QUERY_VIEW, NULL, "Role", 200},
    {"PUT", "/roles/:id", ROLES, "updateRole", "Add and remove users and roles", QUERY_NONE, "Role", "Updated", 200},
    {"DELETE", "/roles/:id", ROLES, "deleteRole", "Delete a role", QUERY_NONE, NULL, "Nothing", 200},

    {"GET", "/installations", INSTALLATIONS, "findInstallations", "Find installations (master)", QUERY_FIND, NULL, "Found", 200},
    {"POST", "/installations", INSTALLATIONS, "saveInstallation", "Make an installation, or find it again", QUERY_NONE, "Installation", "Created", 201},
    {"GET", "/installations/:id", INSTALLATIONS, "getInstallation", "One installation", QUERY_VIEW, NULL, "Installation", 200},
    {"PUT", "/installations/:id", INSTALLATIONS, "updateInstallation", "Change an installation", QUERY_NONE, "Installation", "Updated", 200},
    {"DELETE", "/installations/:id", INSTALLATIONS, "deleteInstallation", "Delete an installation (master)", QUERY_NONE, NULL, "Nothing", 200},

    {"GET", "/schemas", SCHEMAS, "listSchemas", "All classes", QUERY_NONE, NULL, "Schemas", 200},
    {"POST", "/schemas", SCHEMAS, "createSchema", "Make the class that the body names", QUERY_NONE, "Schema", "Schema", 200},
    {"GET", "/schemas/:class", SCHEMAS, "getSchema", "One class", QUERY_NONE, NULL, "Schema", 200},
    {"POST", "/schemas/:class", SCHEMAS, "createNamedSchema", "Make a class", QUERY_NONE, "Schema", "Schema", 200},
    {"PUT", "/schemas/:class", SCHEMAS, "updateSchema", "Add and drop fields and indexes, set permissions", QUERY_NONE, "Schema", "Schema", 200},
    {"DELETE", "/schemas/:class", SCHEMAS, "deleteSchema", "Remove an empty class", QUERY_NONE, NULL, "Nothing", 200},
    {"DELETE", "/purge/:class", SCHEMAS, "purgeClass", "Delete all objects of a class", QUERY_NONE, NULL, "Nothing", 200},

    {"POST", "/files", FILES, "uploadNameless", "Refused: a file needs a name", QUERY_NONE, "Base64File", "FileMade", 201},
    {"POST", "/files/:name", FILES, "uploadFile", "Upload a file: its bytes, or JSON with base64", QUERY_NONE, "application/octet-stream", "FileMade", 201},
    {"DELETE", "/files/:name", FILES, "deleteFile", "Delete a file", QUERY_NONE, NULL, "Nothing", 200},

    {"POST", "/functions/:name", CLOUD, "runFunction", "Call a cloud function with the body as params", QUERY_NONE, "object", "FunctionResult", 200},
    {"POST", "/jobs", CLOUD, "startNamedJob", "Start the job that jobName names", QUERY_NONE, "JobBody", "Nothing", 200},
    {"POST", "/jobs/:name", CLOUD, "startJob", "Start a job; X-Parse-Job-Status-Id says which row of _JobStatus it has", QUERY_NONE, "object", "Nothing", 200},
    {"GET", "/cloud_code/jobs", CLOUD, "listSchedules", "Schedules of jobs", QUERY_NONE, NULL, "object[]", 200},
    {"GET", "/cloud_code/jobs/data", CLOUD, "listJobs", "Jobs that are defined, and those with a schedule", QUERY_NONE, NULL, "JobsData", 200},
    {"POST", "/cloud_code/jobs", CLOUD, "createSchedule", "Write a schedule of a job", QUERY_NONE, "ScheduleBody", "Created", 201},
    {"PUT", "/cloud_code/jobs/:id", CLOUD, "updateSchedule", "Change a schedule", QUERY_NONE, "ScheduleBody", "Updated", 200},
    {"DELETE", "/cloud_code/jobs/:id", CLOUD, "deleteSchedule", "Delete a schedule", QUERY_NONE, NULL, "Nothing", 200},
    {"GET", "/hooks/functions", CLOUD, "listHookFunctions", "Functions that are webhooks", QUERY_NONE, NULL, "HookFunction[]", 200},
    {"POST", "/hooks/functions", CLOUD, "createHookFunction", "Make a webhook a function", QUERY_NONE, "HookFunction", "HookFunction", 200},
    {"GET", "/hooks/functions/:name", CLOUD, "getHookFunction", "One of them", QUERY_NONE, NULL, "HookFunction", 200},
    {"PUT", "/hooks/functions/:name", CLOUD, "updateHookFunction", "Another URL; {\"__op\":\"Delete\"} removes it", QUERY_NONE, "HookFunction", "HookFunction", 200},
    {"GET", "/hooks/triggers", CLOUD, "listHookTriggers", "Triggers that are webhooks", QUERY_NONE, NULL, "HookTrigger[]", 200},
    {"POST", "/hooks/triggers", CLOUD, "createHookTrigger", "Make a webhook a trigger", QUERY_NONE, "HookTrigger", "HookTrigger", 200},
    {"GET", "/hooks/triggers/:class/:trigger", CLOUD, "getHookTrigger", "One of them", QUERY_NONE, NULL, "HookTrigger", 200},
    {"PUT", "/hooks/triggers/:class/:trigger", CLOUD, "updateHookTrigger", "Another URL; {\"__op\":\"Delete\"} removes it", QUERY_NONE, "HookTrigger", "HookTrigger", 200},

    {"GET", "/config", CONFIG, "getConfig", "The app's parameters; those for master to master only", QUERY_NONE, NULL, "Config", 200},
    {"PUT", "/config", CONFIG, "setConfig", "Set, change and remove parameters", QUERY_NONE, "Config", "Done", 200},
    {"GET", "/serverInfo", SERVER, "getServerInfo", "What this server can do", QUERY_NONE, NULL, "ServerInfo", 200},
    {"POST", "/events/:name", SERVER, "trackEvent", "Taken and dropped", QUERY_NONE, "Event", "Nothing", 200},
    {"POST", "/push", PUSH, "sendPush", "Not supported yet: 115", QUERY_NONE, "object", "Done", 200},
    {"GET", "/push_audiences", PUSH, "findAudiences", "Not supported yet: 115", QUERY_NONE, NULL, "Found", 200},
    {"POST", "/push_audiences", PUSH, "createAudience", "Not supported yet: 115", QUERY_NONE, "object", "Created", 201},
    {"GET", "/push_audiences/:id", PUSH, "getAudience", "Not supported yet: 115", QUERY_NONE, NULL, "Object", 200},
    {"PUT", "/push_audiences/:id", PUSH, "updateAudience", "Not supported yet: 115", QUERY_NONE, "object", "Updated", 200},
    {"DELETE", "/push_audiences/:id", PUSH, "deleteAudience", "Not supported yet: 115", QUERY_NONE, NULL, "Nothing", 200},
    {"GET", "/scriptlog", SERVER, "getScriptLog", "Not supported yet: 108", QUERY_NONE, NULL, "object[]", 200},
    {"GET", "/security", SERVER, "getSecurity", "Not supported yet: 108", QUERY_NONE, NULL, "object", 200},
    {"GET", "/graphql-config", SERVER, "getGraphqlConfig", "Not supported yet: 108", QUERY_NONE, NULL, "object", 200},
    {"PUT", "/graphql-config", SERVER, "setGraphqlConfig", "Not supported yet: 108", QUERY_NONE, "object", "Done", 200},
    {"POST", "/graphql", SERVER, "graphql", "Not supported yet: 108", QUERY_NONE, "object", "object", 200},
    {"POST", "/validate_purchase", SERVER, "validatePurchase", "Not supported yet: 108", QUERY_NONE, "object", "object", 200},
    {NULL, NULL, NULL, NULL, NULL, QUERY_NONE, NULL, NULL, 0},
};

const struct parse_face_doc parse_face_docs[] = {
    {{"GET", "/health", SERVER, "getHealth", "Is it there?", QUERY_NONE, NULL, "Health", 200}, CALLER_OPEN},
    {{"GET", "/openapi.json", SERVER, "getOpenapi", "This interface as an OpenAPI 3.1 document", QUERY_NONE, NULL, "application/json", 200}, CALLER_OPEN},
    {{"GET", "/files/:app/:name", FILES, "downloadFile", "A file's bytes, or one range of them; names may have directories", QUERY_NONE, NULL, "application/octet-stream", 200}, CALLER_OPEN},
    {{"GET", "/files/:app/metadata/:name", FILES, "getFileMetadata", "Metadata and tags of a file", QUERY_NONE, NULL, "FileMetadata", 200}, CALLER_OPEN},
    {{"GET", "/apps/:app/verify_email", PAGES, "showVerified", "The page behind a mail's link: the address is verified", QUERY_TOKEN, NULL, "text/html", 200}, CALLER_OPEN},
    {{"GET", "/apps/:app/request_password_reset", PAGES, "showReset", "The page behind a mail's link: a form for a new password", QUERY_TOKEN, NULL, "text/html", 200}, CALLER_OPEN},
    {{"POST", "/apps/:app/request_password_reset", PAGES, "sendReset", "What the form sends; JSON when sent by a script", QUERY_NONE, "Reset", "text/html", 200}, CALLER_OPEN},
    {{"POST", "/apps/:app/resend_verification_email", PAGES, "sendResend", "Another mail to verify an address", QUERY_NONE, "Email", "text/html", 200}, CALLER_OPEN},
    {{"GET", "/apps/:app/jwks.json", USERS, "getAppKeys", "The public keys of the app's tokens for other services", QUERY_NONE, NULL, "Keys", 200}, CALLER_OPEN},
    {{NULL, NULL, NULL, NULL, NULL, QUERY_NONE, NULL, NULL, 0}, CALLER_ANY},
};

const struct parse_code_row parse_code_rows[] = {
    {-1, 400, "OTHER_CAUSE"}, {1, 500, "INTERNAL_SERVER_ERROR"}, {100, 429, "CONNECTION_FAILED"}, {101, 404, "OBJECT_NOT_FOUND"},
    {102, 400, "INVALID_QUERY"}, {103, 400, "INVALID_CLASS_NAME"}, {104, 400, "MISSING_OBJECT_ID"}, {105, 400, "INVALID_KEY_NAME"},
    {107, 400, "INVALID_JSON"}, {108, 400, "COMMAND_UNAVAILABLE"}, {111, 400, "INCORRECT_TYPE"}, {115, 400, "PUSH_MISCONFIGURED"},
    {116, 400, "OBJECT_TOO_LARGE"}, {119, 400, "OPERATION_FORBIDDEN"}, {121, 400, "INVALID_NESTED_KEY"}, {122, 400, "INVALID_FILE_NAME"},
    {123, 400, "INVALID_ACL"}, {124, 400, "TIMEOUT"}, {125, 400, "INVALID_EMAIL_ADDRESS"}, {130, 400, "FILE_SAVE_ERROR"},
    {132, 400, "INSTALLATION_AMBIGUOUS"}, {135, 400, "MISSING_REQUIRED"}, {136, 400, "FIELD_FIXED"}, {137, 400, "DUPLICATE_VALUE"},
    {139, 400, "INVALID_ROLE_NAME"}, {140, 503, "EXCEEDED_QUOTA"}, {141, 400, "SCRIPT_FAILED"}, {142, 400, "VALIDATION_ERROR"},
    {143, 400, "HOOK_ERROR"}, {153, 400, "FILE_DELETE_ERROR"}, {155, 429, "REQUEST_LIMIT_EXCEEDED"}, {159, 400, "DUPLICATE_REQUEST"},
    {162, 400, "INVALID_VALUE"}, {200, 400, "USERNAME_MISSING"}, {201, 400, "PASSWORD_MISSING"}, {202, 400, "USERNAME_TAKEN"},
    {203, 400, "EMAIL_TAKEN"}, {204, 400, "EMAIL_MISSING"}, {205, 400, "EMAIL_NOT_FOUND"}, {206, 400, "SESSION_MISSING"},
    {208, 400, "ACCOUNT_ALREADY_LINKED"}, {209, 400, "INVALID_SESSION_TOKEN"}, {252, 400, "UNSUPPORTED_SERVICE"},
    {255, 400, "INVALID_SCHEMA_OPERATION"}, {0, 0, NULL},
};
/* clang-format on */

const struct parse_doc *parse_doc_find(const char *method, const char *pattern)
{
    for (const struct parse_doc *d = parse_docs; d->method; d++)
        if (strcmp(d->method, method) == 0 && strcmp(d->pattern, pattern) == 0)
            return d;
    return NULL;
}
