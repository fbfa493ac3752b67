// An Express application with the Parse SDK from npm, as it would run beside a Parse server of its own: only the server's
// URL is Hob's, and the session token is that of the request it answers.
const express = require("express");
const Parse = require("parse/node");

Parse.initialize("any", undefined, "master");
Parse.serverURL = process.env.HOB_BINDINGS_URL;
Parse.User.enableUnsafeCurrentUser?.();
const app = express();
const whose = (req) => ({ sessionToken: req.get("x-hob-invocation") });
const handle = (work) => async (req, res) => {
  try {
    res.json({ value: (await work(req)) ?? null });
  } catch (error) {
    res.json({ error: { code: error.code, message: error.message } });
  }
};
const Note = Parse.Object.extend("Note");
app.use(express.json({ limit: "5mb" }));

app.post("/notes", handle(async (req) => {
  const note = new Note();
  if (req.body.private) note.setACL(new Parse.ACL(await Parse.User.me(req.get("x-hob-invocation"))));
  delete req.body.private;
  return (await note.save(req.body, whose(req))).toJSON();
}));
app.get("/notes", handle(async (req) => {
  const query = new Parse.Query(Note).ascending("n").limit(50);
  if (req.query.text) query.equalTo("text", req.query.text);
  return (await query.find(req.query.as === "public" ? {} : req.query.as === "master" ? { useMasterKey: true } : whose(req))).map((one) => one.toJSON());
}));
app.post("/many", handle(async (req) => {
  const notes = req.body.map((one) => new Note(one));
  await Parse.Object.saveAll(notes, whose(req));
  notes[0].increment("n", 10);
  notes[0].addUnique("tags", "a");
  await notes[0].save(null, whose(req));
  const n = await new Parse.Query(Note).containedIn("objectId", notes.map((one) => one.id)).count(whose(req));
  const got = (await new Parse.Query(Note).get(notes[0].id, whose(req))).toJSON();
  await Parse.Object.destroyAll(notes.slice(1), whose(req));
  const left = await new Parse.Query(Note).containedIn("objectId", notes.map((one) => one.id)).count(whose(req));
  return { n, left, got };
}));
app.post("/me", handle(async (req) => {
  const user = await Parse.User.me(req.get("x-hob-invocation"));
  return { id: user.id, username: user.getUsername(), token: user.getSessionToken() };
}));
app.post("/login", handle(async (req) => {
  const user = await Parse.User.logIn(req.body.username, req.body.password);
  return { id: user.id, token: user.getSessionToken().slice(0, 2) };
}));
app.post("/file", handle(async (req) => {
  const file = new Parse.File("hello.txt", { base64: Buffer.from(req.body.text).toString("base64") }, "text/plain");
  await file.save(whose(req));
  const where = `${process.env.HOB_BINDINGS_URL}${new URL(file.url(), "http://x").pathname.replace(/^.*\/files\//, "/files/")}`;
  const back = await fetch(where);
  const part = await fetch(where, { headers: { range: "bytes=1-3" } });
  return { name: file.name(), text: await back.text(), type: back.headers.get("content-type"), part: await part.text(), status: part.status };
}));
app.post("/run", handle((req) => Parse.Cloud.run(req.body.name, req.body.params ?? {}, whose(req))));
app.post("/late", (req, res) => { // answers first, asks then
  const token = req.get("x-hob-invocation");
  res.json({});
  setTimeout(async () => {
    const error = await new Parse.Query(Note).find({ sessionToken: token }).then(() => null, (e) => e);
    console.log(`late: ${error?.code} ${error?.message}`);
  }, 100);
});
app.listen(3000);
