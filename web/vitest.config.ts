import { defineConfig } from "vitest/config";

export default defineConfig({
  // Generous: nothing here depends on time, and two cores may be busy.
  test: { testTimeout: 180_000, hookTimeout: 300_000, fileParallelism: false, teardownTimeout: 60_000 },
});
