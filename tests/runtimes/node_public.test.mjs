// The node adapter where Node does not let it at its inner modules (process.binding): all of node.test.mjs holds by the
// public ones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withHost } from './host.mjs';

process.env.HOB_TEST_NO_BINDING = '1';

test('the adapter works without process.binding, and loads node:net instead', () =>
  withHost({
    runtime: 'node', entry: 'index.mjs',
    files: { 'index.mjs': `export default { fetch: () => Response.json([typeof process.binding, process.moduleLoadList.includes('NativeModule net')]) };` },
  }, async (h) => {
    assert.deepEqual(JSON.parse((await h.call()).text), ['undefined', true]);
  }));

await import('./node.test.mjs');
