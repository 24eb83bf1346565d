import { memoryStore } from "./memory-store.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite("memory", async () => {
  const store = memoryStore();
  return {
    store,
    bodyFile: async (message, bytes) => ({ kind: "file", name: message, sizeBytes: bytes.length }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
});
