// The JavaScript SDK from npm, as apps use it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { App, sdk, startDaemon } from "./app.mjs";

for (const version of ["8.6.0", "5.3.0"]) {
  const { load, why } = sdk(version);
  if (why) console.error(`SKIPPED: ${why}`);
  test(`SDK ${version}`, { skip: why }, async (t) => {
    const daemon = await startDaemon();
    t.after(() => daemon.close());
    const app = await App.make(daemon, "shop");
    const Parse = load(app, { master: true });
    const Thing = Parse.Object.extend("Thing");
    const query = () => new Parse.Query(Thing);
    const names = async (q) => (await q.find()).map((o) => o.get("name"));

    await t.test("an object is saved, read back with its types, changed and destroyed", async () => {
      const o = new Thing({ name: "first", n: 1.5, yes: true, list: [1, "a", { b: 2 }], map: { a: { b: 1 } } });
      o.set("when", new Date("2020-02-29T12:00:00.123Z"));
      o.set("place", new Parse.GeoPoint(52.5, 13.4));
      await o.save();
      const back = await query().get(o.id);
      assert.equal(back.get("when").toISOString(), "2020-02-29T12:00:00.123Z");
      assert.equal(back.get("place").latitude, 52.5);
      assert.deepEqual(back.get("list"), [1, "a", { b: 2 }]);
      assert.deepEqual(back.get("map"), { a: { b: 1 } });
      assert.equal(back.get("yes"), true);
      assert.equal(back.get("n"), 1.5);
      back.unset("map");
      back.set("name", "second");
      await back.save();
      assert.equal((await query().get(o.id)).get("map"), undefined);
      await back.destroy();
      await assert.rejects(query().get(o.id), { code: Parse.Error.OBJECT_NOT_FOUND });
    });

    await t.test("operations act on what the server has, not on what the client knows", async () => {
      const o = await new Thing({ n: 1, list: [1] }).save();
      const other = Thing.createWithoutData(o.id);
      other.increment("n", 5);
      other.add("list", 2);
      await other.save();
      o.increment("n");
      o.addUnique("list", 2);
      await o.save();
      assert.equal(o.get("n"), 7);
      assert.deepEqual(o.get("list"), [1, 2]);
      o.remove("list", 1);
      await o.save();
      assert.deepEqual((await o.fetch()).get("list"), [2]);
    });

    await t.test("many are saved and destroyed in batches, and all or none in a transaction", async () => {
      const many = Array.from({ length: 45 }, (_, i) => new Thing({ i, kind: "many" }));
      await Parse.Object.saveAll(many);
      assert.equal(await query().equalTo("kind", "many").count(), 45);
      assert.equal((await query().greaterThan("i", 10).lessThanOrEqualTo("i", 20).find()).length, 10);
      if (version.startsWith("5")) return void (await Parse.Object.destroyAll(many)); // it knows no transactions here
      await assert.rejects(Parse.Object.saveAll([new Thing({ tx: 1 }), new Thing({ tx: "text" })], { transaction: true }));
      assert.equal(await query().exists("tx").count(), 0);
      await Parse.Object.saveAll([new Thing({ tx: 1 }), new Thing({ tx: 2 })], { transaction: true });
      assert.equal(await query().exists("tx").count(), 2);
      await Parse.Object.destroyAll(many);
      assert.equal(await query().equalTo("kind", "many").count(), 0);
    });

    await t.test("every kind of query finds what it says", async () => {
      await Parse.Object.saveAll([
        new Thing({ name: "apple", n: 1, tags: ["red", "round"], q: 1 }),
        new Thing({ name: "banana", n: 2, tags: ["yellow"], q: 1 }),
        new Thing({ name: "cherry", n: 3, tags: ["red", "small", "round"], q: 1 }),
        new Thing({ name: "Apricot.*", q: 1 }),
      ]);
      const q = () => query().equalTo("q", 1).ascending("name");
      assert.deepEqual(await names(q().containedIn("name", ["apple", "cherry"])), ["apple", "cherry"]);
      assert.deepEqual(await names(q().notContainedIn("name", ["apple", "cherry", "Apricot.*"])), ["banana"]);
      assert.deepEqual(await names(q().notEqualTo("n", 1).exists("n")), ["banana", "cherry"]);
      assert.deepEqual(await names(q().doesNotExist("n")), ["Apricot.*"]);
      assert.deepEqual(await names(q().equalTo("tags", "red")), ["apple", "cherry"]);
      assert.deepEqual(await names(q().containsAll("tags", ["red", "small"])), ["cherry"]);
      assert.deepEqual(await names(q().containedBy("tags", ["red", "round", "x"])), ["apple"]);
      assert.deepEqual(await names(q().startsWith("name", "ban")), ["banana"]);
      assert.deepEqual(await names(q().contains("name", "err")), ["cherry"]);
      assert.deepEqual(await names(q().endsWith("name", "ot.*")), ["Apricot.*"]);
      assert.deepEqual(await names(q().matches("name", /^ap/i)), ["Apricot.*", "apple"]);
      assert.deepEqual(await names(q().descending("n").exists("n").limit(1).skip(1)), ["banana"]);
      const either = Parse.Query.or(q().equalTo("n", 1), q().equalTo("n", 3)).ascending("name");
      assert.deepEqual(await names(either), ["apple", "cherry"]);
      assert.deepEqual(await names(Parse.Query.and(q().greaterThan("n", 1), q().lessThan("n", 3))), ["banana"]);
      assert.deepEqual(await names(Parse.Query.nor(query().doesNotExist("n"), query().lessThan("n", 3)).equalTo("q", 1)), ["cherry"]);
      assert.deepEqual((await q().distinct("name")).sort(), ["Apricot.*", "apple", "banana", "cherry"]);
    });

    await t.test("pointers are included, selected through, and queried by", async () => {
      const root = await new Thing({ name: "root" }).save();
      const middle = await new Thing({ name: "middle", parent: root }).save();
      const leaf = await new Thing({ name: "leaf", parent: middle, both: [root, middle] }).save();
      const back = await query().include("parent.parent").include("both").get(leaf.id);
      assert.equal(back.get("parent").get("parent").get("name"), "root");
      assert.deepEqual(back.get("both").map((o) => o.get("name")), ["root", "middle"]);
      const cut = await query().select("parent.name").get(leaf.id);
      assert.equal(cut.get("name"), undefined);
      assert.equal(cut.get("parent").get("name"), "middle");
      assert.deepEqual(await names(query().matchesQuery("parent", query().equalTo("name", "root"))), ["middle"]);
      assert.deepEqual(await names(query().equalTo("parent", middle)), ["leaf"]);
      assert.deepEqual(await names(query().matchesKeyInQuery("name", "name", query().equalTo("parent", root))), ["middle"]);
      assert.equal((await query().exclude("name").get(leaf.id)).get("name"), undefined);
    });

    await t.test("relations hold, find and forget objects", async () => {
      const owner = await new Thing({ name: "owner" }).save();
      const [x, y] = await Parse.Object.saveAll([new Thing({ name: "x" }), new Thing({ name: "y" })]);
      owner.relation("parts").add([x, y]);
      await owner.save();
      assert.deepEqual((await names(owner.relation("parts").query().ascending("name"))), ["x", "y"]);
      assert.deepEqual(await names(query().equalTo("parts", y)), ["owner"]);
      owner.relation("parts").remove(x);
      await owner.save();
      assert.deepEqual(await names(owner.relation("parts").query()), ["y"]);
    });

    await t.test("places, shapes and texts are found", async () => {
      await new Thing({ name: "berlin", place: new Parse.GeoPoint(52.52, 13.405) }).save();
      await new Thing({ name: "paris", place: new Parse.GeoPoint(48.857, 2.352) }).save();
      assert.deepEqual(await names(query().near("place", new Parse.GeoPoint(48, 2)).exists("name")), ["paris", "berlin"]);
      assert.deepEqual(await names(query().withinKilometers("place", new Parse.GeoPoint(52.5, 13.4), 50)), ["berlin"]);
      assert.deepEqual(await names(query().withinGeoBox("place", new Parse.GeoPoint(48, 1), new Parse.GeoPoint(49, 3))), ["paris"]);
      await new Thing({ name: "square", shape: new Parse.Polygon([[0, 0], [0, 10], [10, 10], [10, 0]]) }).save();
      assert.deepEqual(await names(query().polygonContains("shape", new Parse.GeoPoint(5, 5))), ["square"]);
      assert.deepEqual(await names(query().polygonContains("shape", new Parse.GeoPoint(15, 5))), []);
      await new Thing({ name: "fox", text: "the quick brown fox" }).save();
      await new Thing({ name: "dog", text: "a lazy dog" }).save();
      assert.deepEqual(await names(query().fullText("text", "quick")), ["fox"]);
    });

    await t.test("access lists and roles say who sees what", async () => {
      const user = await Parse.User.signUp("anna", "secret-of-tests");
      const other = await Parse.User.signUp("bert", "secret-of-tests");
      const mine = { sessionToken: user.getSessionToken() }, theirs = { sessionToken: other.getSessionToken() };
      const o = new Thing({ name: "private" });
      o.setACL(new Parse.ACL(user));
      await o.save(null, mine);
      assert.equal((await query().equalTo("name", "private").find(mine)).length, 1);
      assert.equal((await query().equalTo("name", "private").find(theirs)).length, 0);
      await assert.rejects(Thing.createWithoutData(o.id).save({ name: "stolen" }, theirs), { code: 101 });
      const acl = new Parse.ACL();
      acl.setPublicReadAccess(true);
      const inner = new Parse.Role("Inner", acl), outer = new Parse.Role("Outer", acl);
      inner.getUsers().add(other);
      await inner.save(null, { useMasterKey: true });
      outer.getRoles().add(inner);
      await outer.save(null, { useMasterKey: true });
      const forRole = new Parse.ACL();
      forRole.setRoleReadAccess("Outer", true);
      const shared = new Thing({ name: "for the role" });
      shared.setACL(forRole);
      await shared.save(null, { useMasterKey: true });
      assert.equal((await query().equalTo("name", "for the role").find(theirs)).length, 1, "a nested role counts");
      assert.equal((await query().equalTo("name", "for the role").find(mine)).length, 0);
      inner.getUsers().remove(other);
      await inner.save(null, { useMasterKey: true });
      assert.equal((await query().equalTo("name", "for the role").find(theirs)).length, 0, "and ends at once");
    });

    await t.test("schemas are made, changed and dropped", async () => {
      const schema = new Parse.Schema("Made");
      schema.addString("name", { required: true, defaultValue: "x" }).addNumber("n").addPointer("owner", "_User");
      schema.addIndex("by_n", { n: 1 });
      await schema.save();
      const got = await new Parse.Schema("Made").get();
      assert.equal(got.fields.name.defaultValue, "x");
      assert.equal(got.fields.owner.targetClass, "_User");
      assert.deepEqual(got.indexes.by_n, { n: 1 });
      await new Parse.Schema("Made").deleteField("owner").update();
      assert.equal((await new Parse.Schema("Made").get()).fields.owner, undefined);
      const o = await new Parse.Object("Made").save();
      assert.equal(o.get("name"), "x", "the default is in the answer");
      await assert.rejects(new Parse.Schema("Made").delete(), { code: 255 });
      await new Parse.Schema("Made").purge();
      await new Parse.Schema("Made").delete();
    });

    await t.test("the server's health is asked for as the SDK asks", async () => {
      assert.deepEqual(await Parse.getServerHealth(), { status: "ok" });
    });
  });
}
