import assert from "node:assert/strict";
import { test } from "node:test";
import { hasPeer, inPeer, run } from "../peers/running.ts";
import { startServer } from "../server.ts";

const MESSAGES = 2000;

for (const [layout, how, options] of [
  ["single", "one message each", []],
  ["split", "many messages each", ["-d"]],
] as const)
  test(`${layout}: 100 parallel sessions of smtp-source with ${how} lose nothing and log no error`, async (t) => {
    if (!hasPeer("postfix", t)) return;
    await using server = await startServer({ layout, settings: "local: { domains: [posthorn.test] }\n" });
    const [program, argv] = inPeer("postfix", [
      "smtp-source",
      ...options,
      "-s",
      "100",
      "-m",
      String(MESSAGES),
      "-l",
      "2048",
      "-f",
      "source@smtp.test",
      "-t",
      "sink@posthorn.test",
      `127.0.0.1:${server.ports.smtp}`,
    ]);
    const { status, output } = await run(program, argv, "", 60_000);
    assert.equal(status, 0, output);
    assert.doesNotMatch(output, /fatal|warning/);
    const mails = await server.waitForMails("sink", MESSAGES, 60_000);
    assert.equal(mails.length, MESSAGES);
    const ids = mails.map((mail) => /^Message-Id: (\S+)/im.exec(mail)?.[1]);
    assert.equal(new Set(ids).size, MESSAGES, "each of them once");
    const bad = server.output().match(/.*(?:posthorn\/\S+: (?:error|fatal|panic|warning)|lost connection).*/g);
    assert.equal(bad, null, bad?.slice(0, 20).join("\n"));
    assert.equal(await server.stop(), 0);
  });
