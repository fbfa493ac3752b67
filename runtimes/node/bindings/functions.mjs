// env.fn: other functions of the app.

export class Functions {
  #ask;
  constructor(ask) {
    this.#ask = ask;
  }
  async invoke(name, payload = null, { qualifier, timeoutMs } = {}) {
    const data = Buffer.from(JSON.stringify(payload) ?? 'null');
    const reply = await this.#ask('fn.invoke', { name, qualifier, timeoutMs }, data);
    return reply.data === null || reply.data.length === 0 ? null : JSON.parse(reply.data.toString());
  }
}
