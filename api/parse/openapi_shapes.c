#include "api/parse/openapi_priv.h"

static const struct schema_member error[] = {
    {"code", "integer", "the protocol's number; absent when HTTP's status says it all (403, 404, 413)",
     false},
    {"error", "string", "what is wrong", true},
};
static const struct schema_member none[] = {{NULL, NULL, NULL, false}};
static const struct schema_member done[] = {{"result", "boolean", "true", true}};
static const struct schema_member date[] = {
    {"__type", "string", "Date", true},
    {"iso", "string", "UTC, with milliseconds", true},
};
static const struct schema_member pointer[] = {
    {"__type", "string", "Pointer; Object with all members where it is included", true},
    {"className", "string", "", true},
    {"objectId", "string", "", true},
};
static const struct schema_member relation[] = {
    {"__type", "string", "Relation", true},
    {"className", "string", "of what is related; find it with $relatedTo", true},
};
static const struct schema_member file[] = {
    {"__type", "string", "File", true},
    {"name", "string", "as the upload answered it", true},
    {"url", "string", "where it is", false},
};
static const struct schema_member geo_point[] = {
    {"__type", "string", "GeoPoint", true},
    {"latitude", "number", "-90 to 90", true},
    {"longitude", "number", "-180 to 180", true},
};
static const struct schema_member polygon[] = {
    {"__type", "string", "Polygon", true},
    {"coordinates", "object[]", "three or more of [latitude, longitude]", true},
};
static const struct schema_member bytes[] = {
    {"__type", "string", "Bytes", true},
    {"base64", "string", "", true},
};
static const struct schema_member operation[] = {
    {"__op", "string",
     "Increment, Add, AddUnique, Remove, Delete, SetOnInsert, AddRelation, RemoveRelation, Batch", true},
    {"amount", "number", "of Increment", false},
    {"objects", "object[]", "of Add, AddUnique, Remove, and of relations: Pointers", false},
    {"ops", "Operation[]", "of Batch", false},
};
static const struct schema_member object[] = {
    {"objectId", "string", "10 letters and digits", false},
    {"createdAt", "string", "ISO 8601, UTC", false},
    {"updatedAt", "string", "ISO 8601, UTC", false},
    {"ACL", "object", "{\"*\" | user id | \"role:NAME\": {\"read\", \"write\"}}", false},
};
static const struct schema_member found[] = {
    {"results", "object[]", "objects, in the order that was asked for", true},
    {"count", "integer", "of all that match, when count=1", false},
};
static const struct schema_member created[] = {
    {"objectId", "string", "", true},
    {"createdAt", "string", "and members that defaults or triggers have set", true},
};
static const struct schema_member updated[] = {
    {"updatedAt", "string", "and the results of operations, and what triggers have set", true},
    {"sessionToken", "string", "of a user whose password was changed", false},
};
static const struct schema_member batch[] = {
    {"requests", "BatchRequest[]", "", true},
    {"transaction", "boolean", "all or none", false},
};
static const struct schema_member batch_request[] = {
    {"method", "string", "", true},
    {"path", "string", "from the root: /parse/classes/...", true},
    {"body", "object", "", false},
};
static const struct schema_member batch_answer[] = {
    {"success", "object", "the answer of the part, or", false},
    {"error", "Error", "its failure", false},
};
static const struct schema_member user[] = {
    {"objectId", "string", "", false},
    {"username", "string", "unique without regard to case", false},
    {"password", "string", "only sent, never answered", false},
    {"email", "string", "unique, shown to the user itself", false},
    {"emailVerified", "boolean", "", false},
    {"authData", "object", "identities by provider", false},
    {"sessionToken", "string", "where the session is the user's own", false},
    {"createdAt", "string", "", false},
    {"updatedAt", "string", "", false},
    {"ACL", "object", "", false},
};
static const struct schema_member signed_up[] = {
    {"objectId", "string", "", true},
    {"createdAt", "string", "", true},
    {"sessionToken", "string", "absent where the address must be verified first", false},
    {"username", "string", "the one that was made up", false},
    {"authDataResponse", "object", "what providers answer, e.g. recovery codes", false},
};
static const struct schema_member credentials[] = {
    {"username", "string", "a name or an address; or", false},
    {"email", "string", "an address", false},
    {"password", "string", "", true},
    {"authData", "object", "a second factor", false},
    {"ignoreEmailVerification", "boolean", "by master: also when the address is not verified", false},
};
static const struct schema_member login_as[] = {{"userId", "string", "", true}};
static const struct schema_member challenge[] = {
    {"challengeData", "object", "by provider", true},
    {"username", "string", "", false},
    {"email", "string", "", false},
    {"password", "string", "", false},
    {"authData", "object", "the one identity with an id says who it is", false},
};
static const struct schema_member challenge_answer[] = {{"challengeData", "object", "by provider", true}};
static const struct schema_member email[] = {{"email", "string", "", true}};
static const struct schema_member token[] = {{"token", "string", "of the mail", true}};
static const struct schema_member reset[] = {
    {"token", "string", "of the mail", true},
    {"new_password", "string", "", true},
};
static const struct schema_member reset_check[] = {{"username", "string", "", false}};
static const struct schema_member service_token_body[] = {
    {"audience", "string", "for whom it is", true},
    {"expiresIn", "integer", "seconds; 900 when absent, 3600 at most", false},
};
static const struct schema_member service_token[] = {
    {"token", "string", "a JSON Web Token, ES256", true},
    {"tokenType", "string", "Bearer", true},
    {"expiresIn", "integer", "seconds", true},
};
static const struct schema_member rotate_body[] = {
    {"revoke", "boolean", "forget the older keys at once", false}};
static const struct schema_member keys[] = {{"keys", "object[]", "JSON Web Keys", true}};
static const struct schema_member session[] = {
    {"objectId", "string", "", true},
    {"user", "Pointer", "", true},
    {"sessionToken", "string", "of one's own session only", false},
    {"createdWith", "object", "action and authProvider", false},
    {"installationId", "string", "", false},
    {"expiresAt", "Date", "", false},
    {"restricted", "boolean", "", false},
};
static const struct schema_member role[] = {
    {"objectId", "string", "", false},
    {"name", "string", "letters, digits, '_', '-', ' '", false},
    {"users", "Relation", "its members", false},
    {"roles", "Relation", "roles whose members are members", false},
    {"ACL", "object", "needed", false},
};
static const struct schema_member installation[] = {
    {"objectId", "string", "", false},   {"installationId", "string", "", false},
    {"deviceType", "string", "", false}, {"deviceToken", "string", "", false},
    {"channels", "string[]", "", false}, {"badge", "number", "", false},
    {"timeZone", "string", "", false},   {"localeIdentifier", "string", "", false},
};
static const struct schema_member schemas[] = {{"results", "Schema[]", "", true}};
static const struct schema_member schema[] = {
    {"className", "string", "", false},
    {"fields", "object",
     "{NAME: {type, targetClass, required, defaultValue}}; {\"__op\":\"Delete\"} drops one", false},
    {"classLevelPermissions", "object",
     "find, get, count, create, update, delete, addField, protectedFields, ...", false},
    {"indexes", "object", "{NAME: {FIELD: 1}}; {\"__op\":\"Delete\"} drops one", false},
};
static const struct schema_member base64_file[] = {
    {"base64", "string", "", true},
    {"_ContentType", "string", "", false},
    {"fileData", "object", "metadata, tags, and directory by master", false},
};
static const struct schema_member file_made[] = {
    {"name", "string", "as it is stored", true},
    {"url", "string", "where it is", true},
};
static const struct schema_member file_metadata[] = {
    {"metadata", "object", "", true},
    {"tags", "object", "", false},
};
static const struct schema_member function_result[] = {
    {"result", "object", "any value; absent when nothing was returned", false}};
static const struct schema_member job_body[] = {{"jobName", "string", "and the job's params", true}};
static const struct schema_member jobs_data[] = {
    {"in_use", "string[]", "with a schedule", true},
    {"jobs", "string[]", "defined", true},
};
static const struct schema_member schedule_body[] = {
    {"job_schedule", "object", "jobName, description, params, ...", true}};
static const struct schema_member hook_function[] = {
    {"functionName", "string", "", false},
    {"url", "string", "http, https, or fn:NAME", false},
};
static const struct schema_member hook_trigger[] = {
    {"className", "string", "", false},
    {"triggerName", "string", "", false},
    {"url", "string", "http, https, or fn:NAME", false},
};
static const struct schema_member config[] = {
    {"params", "object", "", true},
    {"masterKeyOnly", "object", "{NAME: true}", false},
};
static const struct schema_member server_info[] = {
    {"features", "object", "", true},
    {"parseServerVersion", "string", "whose protocol it is", true},
};
static const struct schema_member event[] = {
    {"at", "Date", "", false},
    {"dimensions", "map", "", false},
};
static const struct schema_member health[] = {{"status", "string", "ok", true}};

#define SHAPE(name, members)                                                                                 \
    {                                                                                                        \
        name, members, HOB_COUNT(members)                                                                    \
    }
static const struct schema shapes[] = {
    SHAPE("Error", error),
    {"Nothing", none, 0},
    SHAPE("Done", done),
    SHAPE("Date", date),
    SHAPE("Pointer", pointer),
    SHAPE("Relation", relation),
    SHAPE("File", file),
    SHAPE("GeoPoint", geo_point),
    SHAPE("Polygon", polygon),
    SHAPE("Bytes", bytes),
    SHAPE("Operation", operation),
    SHAPE("Object", object),
    SHAPE("Found", found),
    SHAPE("Created", created),
    SHAPE("Updated", updated),
    SHAPE("Batch", batch),
    SHAPE("BatchRequest", batch_request),
    SHAPE("BatchAnswer", batch_answer),
    SHAPE("User", user),
    SHAPE("SignedUp", signed_up),
    SHAPE("Credentials", credentials),
    SHAPE("LoginAs", login_as),
    SHAPE("Challenge", challenge),
    SHAPE("ChallengeAnswer", challenge_answer),
    SHAPE("Email", email),
    SHAPE("Token", token),
    SHAPE("Reset", reset),
    SHAPE("ResetCheck", reset_check),
    SHAPE("ServiceTokenBody", service_token_body),
    SHAPE("ServiceToken", service_token),
    SHAPE("RotateBody", rotate_body),
    SHAPE("Keys", keys),
    SHAPE("Session", session),
    SHAPE("Role", role),
    SHAPE("Installation", installation),
    SHAPE("Schemas", schemas),
    SHAPE("Schema", schema),
    SHAPE("Base64File", base64_file),
    SHAPE("FileMade", file_made),
    SHAPE("FileMetadata", file_metadata),
    SHAPE("FunctionResult", function_result),
    SHAPE("JobBody", job_body),
    SHAPE("JobsData", jobs_data),
    SHAPE("ScheduleBody", schedule_body),
    SHAPE("HookFunction", hook_function),
    SHAPE("HookTrigger", hook_trigger),
    SHAPE("Config", config),
    SHAPE("ServerInfo", server_info),
    SHAPE("Event", event),
    SHAPE("Health", health),
};

size_t parse_shapes_count(void)
{
    return HOB_COUNT(shapes);
}

const struct schema *parse_shapes_at(size_t i)
{
    return &shapes[i];
}
