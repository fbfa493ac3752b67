// env.auth: who calls, other users, tokens; `admin` needs auth:admin in hob.json.

export class Auth {
  #ask;
  constructor(ask) {
    this.#ask = ask;
    const call = (op, args) => this.#ask(`auth.${op}`, args).then((reply) => reply.json);
    this.admin = {
      createUser: (user) => call('createUser', { user }),
      updateUser: (id, patch) => call('updateUser', { id, user: patch }),
      deleteUser: (id) => call('deleteUser', { id }).then(() => undefined),
      listUsers: (page) => call('listUsers', { ...page }),
      revoke: (id) => call('revoke', { id }).then(() => undefined),
      mint: (id, options) => call('mint', { ...options, id }).then((made) => made.token),
    };
  }
  async user() {
    return (await this.#ask('auth.user', {})).json;
  }
  async getUser(tokenOrId) {
    const args = tokenOrId.startsWith('r:') ? { token: tokenOrId } : { id: tokenOrId };
    return (await this.#ask('auth.getUser', args)).json;
  }
  async verify(jwt) {
    return (await this.#ask('auth.verify', { token: jwt })).json;
  }
}
