/**
 * Scanners that hang, die, close in the middle or answer nonsense, in the whole server and in both layouts: their mail waits
 * at the client or passes, as the settings say, none is lost, and nobody else waits.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startScanner } from "../../src/testing/scripted-scanner.ts";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** What a mail asks the scanner to do, by a word in it. */
const ANSWERS: Readonly<Record<string, string | undefined>> = {
  hang: undefined,
  close: "",
  half: "SPAMD/1.1 0 EX_OK\r\nContent-length: 500\r\nSpam: True",
  nonsense: "\xff\xfe 220 hello\r\n\r\n",
};
const CLEAN = "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.5 / 5.0\r\n\r\n";

for (const layout of LAYOUTS)
  test(
    `${layout}: a scanner that fails makes its mail wait or pass, and nobody else`,
    { timeout: 240_000 },
    async () => {
      await using spamd = await startScanner({
        onEnd: (socket, soFar) => {
          const [word] = Object.keys(ANSWERS).filter((each) => soFar.includes(`does ${each}`));
          const answer = word === undefined ? CLEAN : ANSWERS[word];
          if (answer !== undefined) socket.end(answer, "latin1");
        },
      });
      await using server = await startServer({
        layout,
        readyWithinMs: 120_000,
        settings: `
local: { domains: [example.test], users: [joe] }
filters:
  strict:
    spamc: { servers: "${spamd.at}", ask: check }
    message-timeout: 12s
    match: { mail-from: ["@strict.example"] }
  lenient:
    spamc: { servers: "${spamd.at}", ask: check, answer-timeout: 1s }
    on-failure: accept
    match: { mail-from: ["@lenient.example"] }
filtered-by: [strict, lenient]
`,
      });
      const send = (from: string, does: string): Promise<string> =>
        sendMail(server.ports.smtp, {
          from,
          to: "joe@example.test",
          content: `Subject: ${does}\n\nThe scanner does ${does}.\n`,
        });

      let isOver = false;
      const hanging = send("a@strict.example", "hang").finally(() => {
        isOver = true;
      });
      while (spamd.connections() === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      // Others come and go meanwhile, through the same filter and past it.
      assert.match(await send("a@strict.example", "well"), /^250/);
      assert.match(await send("a@elsewhere.example", "nothing"), /^250/);
      assert.equal(isOver, false, "the scanner did not hang for as long as the others took");
      assert.match(await hanging, /^451/);
      for (const does of ["close", "half", "nonsense"]) {
        assert.match(await send("a@strict.example", does), /^451/, does);
        assert.match(await send("a@lenient.example", does), /^250/, does);
      }
      assert.match(await send("a@lenient.example", "hang"), /^250/);
      assert.match(await send("a@strict.example", "well again"), /^250/);
      const subjects = (await server.waitForMails("joe", 7)).map(
        (mail) => /^Subject: (.*?)\r?$/m.exec(mail)?.[1] ?? "",
      );
      assert.deepEqual(
        subjects.toSorted((a, b) => a.localeCompare(b)),
        ["close", "half", "hang", "nonsense", "nothing", "well", "well again"],
      );
      assert.match(server.output(), /filter strict: /);
      assert.equal(await server.stop(), 0);
    },
  );
