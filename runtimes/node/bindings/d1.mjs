// env.sql: the shape of Cloudflare D1.

function toWire(value, place) {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value);
  if (value instanceof ArrayBuffer) return { $blob: Buffer.from(value).toString('base64') };
  if (ArrayBuffer.isView(value)) return { $blob: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  if (Array.isArray(value) && value.every((n) => Number.isInteger(n) && n >= 0 && n <= 255)) {
    return { $blob: Buffer.from(value).toString('base64') };
  }
  const what = value === undefined ? 'undefined' : Object.prototype.toString.call(value).slice(8, -1);
  throw new TypeError(`D1_TYPE_ERROR: parameter ${place}: type '${what}' not supported`);
}
function fromWire(value) {
  return typeof value === 'object' && value !== null ? [...Buffer.from(value.$blob, 'base64')] : value;
}
function objectOf(columns, row) {
  const object = {};
  for (let i = 0; i < columns.length; i++) object[columns[i]] = fromWire(row[i]);
  return object;
}
function resultOf(one) {
  return { success: true, meta: { ...one.meta, served_by: 'hob', size_after: 0 }, results: one.rows.map((row) => objectOf(one.columns, row)) };
}
function named(error) {
  if (error.name === 'HobError' && !error.message.startsWith('D1_')) error.message = `D1_ERROR: ${error.message}`;
  throw error;
}

class Statement {
  #ask;
  constructor(ask, sql, params = []) {
    this.#ask = ask;
    this.statement = sql;
    this.params = params;
  }
  bind(...values) {
    return new Statement(this.#ask, this.statement, values.map((value, i) => toWire(value, i + 1)));
  }
  get wire() {
    return { sql: this.statement, params: this.params };
  }
  async #one() {
    return (await this.#ask('sql.query', { statements: [this.wire] }).catch(named)).json[0];
  }
  async all() {
    return resultOf(await this.#one());
  }
  run() {
    return this.all();
  }
  async first(column) {
    const { columns, rows } = await this.#one();
    if (rows.length === 0) return null;
    const row = objectOf(columns, rows[0]);
    if (column === undefined) return row;
    if (!columns.includes(column)) throw new Error(`D1_COLUMN_NOTFOUND: Column not found: ${column}`);
    return row[column];
  }
  async raw({ columnNames = false } = {}) {
    const { columns, rows } = await this.#one();
    const plain = rows.map((row) => row.map(fromWire));
    return columnNames ? [columns, ...plain] : plain;
  }
}

export class Sql {
  #ask;
  constructor(ask) {
    this.#ask = ask;
  }
  prepare(sql) {
    return new Statement(this.#ask, String(sql));
  }
  /** One transaction: all of them or none. */
  async batch(statements) {
    const wire = statements.map((one) => one.wire);
    return (await this.#ask('sql.query', { statements: wire }).catch(named)).json.map(resultOf);
  }
  async exec(script) {
    return (await this.#ask('sql.exec', { statements: [{ sql: script }] }).catch(named)).json[0];
  }
  withSession() {
    return Object.assign(this, { getBookmark: () => null });
  }
}
