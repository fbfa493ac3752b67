// A Fastify application; the port comes from the environment, as in its deployment guide.
import Fastify from "fastify";

const fastify = Fastify({ logger: true, bodyLimit: 32 * 1024 * 1024 });
fastify.addContentTypeParser("*", (request, payload, done) => done(null, payload));
fastify.get("/", async () => ({ hello: "fastify" }));
fastify.get("/user/:name", { schema: { params: { type: "object", properties: { name: { type: "string", maxLength: 8 } } } } },
  async (request) => ({ name: request.params.name }));
fastify.post("/json", async (request, reply) => reply.code(201).send({ got: request.body }));
fastify.post("/echo", (request, reply) => reply.send(request.body));
await fastify.listen({ port: Number(process.env.PORT), host: process.env.HOST });
