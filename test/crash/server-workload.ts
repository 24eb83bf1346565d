import { writeSync } from "node:fs";
import { seededRandom } from "../../src/foundation/random.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/**
 * A whole server that receives mail and delivers it into Maildirs below FOLDER/data, for a recording of all it writes.
 * Arguments: FOLDER MAILS SEED. Says `kept SUBJECT ID` for each mail answered 250; when exactly that was, the recording
 * tells from the reply on the socket (`queued as ID`).
 */
const [folder = "", mails = "30", seed = "1"] = process.argv.slice(2);
const random = seededRandom(Number(seed));
let left = Number(mails);

await using server = await startServer({
  folder,
  // Half of it waits, so that the queue is never empty when the power goes.
  settings: "scheduler: { local: { atOnce: 2 } }\nqueue: { inlineBodyUpTo: 4KiB }\n",
  readyWithinMs: 60_000,
});
await Promise.all(
  Array.from({ length: 5 }, async () => {
    while (left > 0) {
      const subject = `m${left--}`;
      const lines = Math.floor(random.next() < 0.7 ? random.next() * 30 : 100 + random.next() * 400);
      const content = `Subject: ${subject}\n\n${Array.from({ length: lines }, (_, line) => `${subject} line ${line} of ${lines}`).join("\n")}\nend of ${subject}`;
      const to = random.next() < 0.5 ? ["ada@localhost"] : ["ada@localhost", "bob@localhost"];
      const reply = await sendMail(server.ports.smtp, { from: "sender@example.org", to, content });
      const id = /^250 .*queued as (\w+)/.exec(reply)?.[1];
      if (id !== undefined) writeSync(1, `kept ${subject} ${id} ${to.length}\n`);
    }
  }),
);
writeSync(1, "done\n");
await server.stop();
