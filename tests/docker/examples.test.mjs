// Both engines run every example: what tests/e2e/examples.test.mjs asks of them in sandboxes, here of containers.
process.env.HOB_EXAMPLES_ENGINE = "docker";
await import("../e2e/examples.test.mjs");
