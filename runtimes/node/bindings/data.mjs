// env.data: objects of the app, in the JSON of the Parse protocol, as the caller unless as() says otherwise.

export class Data {
  #ask;
  #as;
  constructor(ask, as) {
    this.#ask = ask;
    this.#as = as;
  }
  /** "caller", "master" (hob.json must name data:master), or {sessionToken}. */
  as(who) {
    return new Data(this.#ask, who);
  }
  #call(op, args) {
    if (this.#as !== undefined) args.as = this.#as;
    return this.#ask(op, args).then((reply) => reply.json);
  }
  get(className, id, options) {
    return this.#call('data.get', { ...options, class: className, id });
  }
  find(className, query) {
    return this.#call('data.find', { ...query, class: className });
  }
  count(className, where) {
    return this.#call('data.count', { class: className, where });
  }
  insert(className, object) {
    return this.#call('data.insert', { class: className, object });
  }
  update(className, id, ops) {
    return this.#call('data.update', { class: className, id, object: ops });
  }
  async delete(className, id) {
    await this.#call('data.delete', { class: className, id });
  }
  /** ops: [{op: 'insert' | 'update' | 'delete', class, id?, object?}] */
  batch(ops, options) {
    return this.#call('data.batch', { ...options, ops });
  }
  aggregate(className, pipeline) {
    return this.#call('data.aggregate', { class: className, pipeline });
  }
}
