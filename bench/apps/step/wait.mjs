export default { fetch: async () => { await new Promise((d) => setTimeout(d, 20)); return new Response('done\n'); } };
