import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { handlersFrom, serveAdmitted } from "./admitted-channels.ts";
import { openChannel, type Channel } from "./channel.ts";

const offered = {
  sum: 40,
  add(what: number) {
    return this.sum + what;
  },
  secret: () => "key",
};

test("who says its word may call what its role may, and who has a wrong one or another's is cut off", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-admitted-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "served.sock");
  const served = await serveAdmitted({ path, words: { ingress: "one", egress: "two" } }, (role) =>
    handlersFrom(offered, role === "ingress" ? ["add"] : []),
  );
  t.after(() => served.close());
  const come = (said: string): Channel => {
    const channel = openChannel({ stream: connect(path), peer: "server", handlers: {} });
    channel.note("iAm", [said]);
    return channel;
  };

  for (const said of ["", "ingress", "ingress ", "ingress two", "nobody", "nobody one", "constructor "])
    await come(said).ended;
  await served.left();

  const ingress = come("ingress one");
  assert.equal(await ingress.call("add", [2]), 42);
  await assert.rejects(ingress.call("secret", []));
  const egress = come("egress two");
  await assert.rejects(egress.call("add", [2]));
  assert.equal(served.open.size, 2);
  let hasLeft = false;
  const left = served.left().then(() => (hasLeft = true));
  ingress.close();
  await ingress.ended;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(hasLeft, false);
  egress.close();
  await left;
});
