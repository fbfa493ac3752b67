// Cloud code: what clients may not be trusted with.

// A title is text, and not endless. Who creates an item owns it.
Parse.Cloud.beforeSave("Todo", (request) => {
  const title = request.object.get("title");
  if (typeof title !== "string" || !title.trim()) throw new Parse.Error(Parse.Error.VALIDATION_ERROR, "A to-do needs a title.");
  if (title.length > 200) throw new Parse.Error(Parse.Error.VALIDATION_ERROR, "A title has at most 200 characters.");
  request.object.set("title", title.trim());
});

// Shares an item of the caller with another user, found by name.
Parse.Cloud.define(
  "share",
  async (request) => {
    const todo = await new Parse.Query("Todo").get(request.params.todo, { sessionToken: request.user.getSessionToken() });
    const acl = todo.getACL();
    if (!acl.getWriteAccess(request.user)) throw "Only who may change an item can share it.";
    const friend = await new Parse.Query(Parse.User).equalTo("username", request.params.with).first({ useMasterKey: true });
    if (!friend) throw new Parse.Error(Parse.Error.OBJECT_NOT_FOUND, `There is no user "${request.params.with}".`);
    acl.setReadAccess(friend, true);
    acl.setWriteAccess(friend, true);
    todo.setACL(acl);
    await todo.save(null, { useMasterKey: true });
    return { sharedWith: friend.getUsername() };
  },
  { requireUser: true, fields: { todo: { type: String, required: true }, with: { type: String, required: true } } },
);

// One counter for everybody: how many items were ever done.
Parse.Cloud.define(
  "done",
  async (request) => {
    const todo = await new Parse.Query("Todo").get(request.params.todo, { sessionToken: request.user.getSessionToken() });
    todo.set("done", true);
    await todo.save(null, { sessionToken: request.user.getSessionToken() });
    const counter = (await new Parse.Query("Counter").equalTo("name", "done").first({ useMasterKey: true })) ?? new Parse.Object("Counter", { name: "done" });
    counter.increment("value");
    await counter.save(null, { useMasterKey: true });
    return counter.get("value");
  },
  { requireUser: true, fields: { todo: { type: String, required: true } } },
);
