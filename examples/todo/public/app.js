// The app: only the Parse SDK, no call of our own. The server is where this page came from.
const $ = (id) => document.getElementById(id);
Parse.initialize("todo");
Parse.serverURL = `${location.origin}/parse`;

const say = (text) => ($("message").textContent = text);
/** Runs an action of the user and tells what went wrong. */
const attempt = (action) => async (event) => {
  event?.preventDefault();
  say("");
  try {
    await action(event);
  } catch (error) {
    say(error.message);
  }
};

function row(todo) {
  const li = document.createElement("li");
  const title = document.createElement("span");
  li.id = todo.id;
  li.className = todo.get("done") ? "done" : "";
  title.textContent = todo.get("title");
  if (todo.get("photo")) {
    const img = document.createElement("img");
    img.src = todo.get("photo").url();
    img.alt = "";
    li.append(img);
  }
  li.append(title);
  const button = (text, action) => {
    const b = document.createElement("button");
    b.textContent = text;
    b.onclick = attempt(action);
    li.append(b);
  };
  if (!todo.get("done")) button("Done", () => Parse.Cloud.run("done", { todo: todo.id }).then(refresh));
  button("Share", async () => {
    const friend = prompt("With whom?");
    if (friend) say(`Shared with ${(await Parse.Cloud.run("share", { todo: todo.id, with: friend })).sharedWith}.`);
  });
  button("Delete", () => todo.destroy().then(refresh));
  return li;
}

async function refresh() {
  const todos = await new Parse.Query("Todo").ascending("createdAt").find();
  $("list").replaceChildren(...todos.map(row));
  await count();
}

async function count() {
  const counter = await new Parse.Query("Counter").equalTo("name", "done").first();
  $("counter").textContent = counter?.get("value") ?? 0;
}

async function show() {
  const user = Parse.User.current();
  $("login").hidden = Boolean(user);
  $("mine").hidden = !user;
  if (!user) return count();
  $("who").textContent = user.getUsername();
  return refresh();
}

$("sign-up").onclick = attempt(() => Parse.User.signUp($("username").value, $("password").value).then(show));
$("login").onsubmit = attempt(() => Parse.User.logIn($("username").value, $("password").value).then(show));
$("log-out").onclick = attempt(() => Parse.User.logOut().then(show));
$("add").onsubmit = attempt(async () => {
  const todo = new Parse.Object("Todo");
  const photo = $("photo").files[0];
  todo.set("title", $("title").value);
  todo.setACL(new Parse.ACL(Parse.User.current()));
  if (photo) todo.set("photo", await new Parse.File(photo.name, photo).save());
  await todo.save();
  $("add").reset();
  await refresh();
});
attempt(show)();
setInterval(() => count().catch(() => {}), 1000); // until live queries tell it
