// The peer of bench/parse.mjs: Parse Server from npm on a port, over the PostgreSQL database that it is given.
const [port, databaseURI] = process.argv.slice(2);
const modules = process.env.PARSE_SERVER_MODULES;
const { ParseServer } = require(`${modules}/parse-server`);
const express = require(require.resolve("express", { paths: [`${modules}/parse-server`, modules] }));

async function main() {
  const server = new ParseServer({
    appId: "bench", masterKey: "bench-master-key", databaseURI, serverURL: `http://127.0.0.1:${port}/parse`,
    allowClientClassCreation: true, silent: true, logLevel: "error", logsFolder: null, verbose: false,
    masterKeyIps: ["127.0.0.1", "::1"],
  });
  await server.start();
  const app = express();
  app.use("/parse", server.app);
  app.listen(Number(port), "127.0.0.1", () => console.log("ready"));
}
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
