import type { TestServer } from "./server.ts";

/** SIGHUP, and the line that says how it ended. */
export async function hangUp(server: TestServer): Promise<string> {
  const pattern = /reload (?:--|refused).*/g;
  const before = (server.output().match(pattern) ?? []).length;
  server.process.kill("SIGHUP");
  const untilAt = Date.now() + 60_000;
  for (;;) {
    const said = server.output().match(pattern) ?? [];
    if (said.length > before) return said.at(-1) ?? "";
    if (Date.now() > untilAt) throw new Error(`no word of a reload:\n${server.output().slice(-3000)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
