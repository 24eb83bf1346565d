/**
 * SMTP smuggling: content with an end of data in it that one server takes for one and the next does not, so that what stands
 * behind it is a mail of its own to one of them, from whomever it likes. Each published variant goes through Posthorn to
 * Debian's servers, and through them to Posthorn: nobody may find more mails than whoever took the content said to have taken.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, startServer } from "../server.ts";
import { startExim } from "./exim.ts";
import { startOpensmtpd } from "./opensmtpd.ts";
import { startPostfix } from "./postfix.ts";
import { hasPeer, type RunningPeer } from "./running.ts";

/** What has been taken for an end of data by some server (SEC Consult 2023, CVE-2023-51764 to -51766, CVE-2024-27305 and their kin). */
const ENDS = [
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\n.\r",
  "\r.\n",
  "\r\n.\r\r\n",
  "\r\r\n.\r\r\n",
  "\r\n\0.\r\n",
  "\r\n.\0\r\n",
  "\n\n.\r\n",
  "\r\n.\n\r\n",
  "\x0b.\r\n",
  "\x85.\x85",
  "\r\r.\r\r",
  "\n\r.\n\r",
  "\r\n\r.\r\n",
  "\r\n.\r\0\n",
];

/** The true one: content like another where octets are counted, or where a filter writes it. */
const TRUE_END = "\r\n.\r\n";

const PEERS: readonly {
  readonly name: string;
  readonly domain: string;
  readonly start: (relayTo: number) => Promise<RunningPeer>;
}[] = [
  { name: "postfix", domain: "postfix.test", start: (relayTo) => startPostfix({ relayTo }) },
  { name: "exim4", domain: "exim.test", start: (relayTo) => startExim({ relayTo }) },
  { name: "opensmtpd", domain: "opensmtpd.test", start: (relayTo) => startOpensmtpd({ relayTo }) },
];

/** How the mail comes: line by line, in a chunk, in a chunk of binary content, or written by a filter into a mail of no guile. */
type Manner = "data" | "chunk" | "binary" | "edited";

/** What stands behind an end of data, for whoever takes it for one. */
const smuggledMail = (mark: string, to: string): string =>
  `MAIL FROM:<admin@${mark}.test>\r\nRCPT TO:<${to}>\r\nDATA\r\nSubject: smuggled ${mark}\r\n\r\nI never logged in.`;

/** Writes what the field X-Body says, in base64, as the body. */
const HOOKS = `
const textOf = (value) => Buffer.from(value.replace(/\\s/g, ""), "base64");
export default {
  onMessage(mail) {
    const body = mail.header("X-Body");
    if (body === undefined) return undefined;
    return { effect: "replace-body", body: textOf(body) };
  },
};
`;

/** Says all of it, in the steps of a client that waits for its replies, and gives the replies to ends of data. */
async function smuggle(
  port: number,
  end: string,
  mark: string,
  to: string,
  manner: Manner = "data",
): Promise<readonly string[]> {
  const socket = connect(port, "127.0.0.1");
  let heard = "";
  socket.on("data", (bytes) => (heard += bytes.toString("latin1")));
  socket.on("error", () => {});
  await once(socket, "connect");
  const until = async (pattern: RegExp, withinMs = 10_000): Promise<boolean> => {
    for (const untilAt = Date.now() + withinMs; Date.now() < untilAt; await wait(10)) {
      if (pattern.test(heard)) return true;
      if (socket.closed) return pattern.test(heard);
    }
    return false;
  };
  const say = async (line: string): Promise<void> => {
    heard = "";
    socket.write(`${line}\r\n`, "latin1");
    await until(/^\d{3} .*\r\n/m);
  };
  await until(/^220 /m);
  const inChunks = manner === "chunk" || manner === "binary";
  const body = manner === "binary" ? " BODY=BINARYMIME" : "";
  for (const line of ["EHLO client.test", `MAIL FROM:<honest@client.test>${body}`, `RCPT TO:<${to}>`]) await say(line);
  if (!inChunks) {
    await say("DATA");
    assert.match(heard, /^354/m, JSON.stringify(heard));
  }
  heard = "";
  const guile = `Hello.${end}${smuggledMail(mark, to)}`;
  const field = Buffer.from(guile, "latin1").toString("base64").replace(/.{70}/g, "$&\r\n ");
  const content = `Subject: outer ${mark}\r\n${manner === "edited" ? `X-Body: ${field}\r\n\r\nHello.` : `\r\n${guile}`}\r\n`;
  socket.write(inChunks ? `BDAT ${content.length} LAST\r\n${content}` : `${content}.\r\n`, "latin1");
  // Whatever was taken for an end of data, the last one is: so everybody gets to the goodbye. Not everybody takes it at once.
  await until(/^\d{3} /m);
  await wait(150);
  socket.write("QUIT\r\n");
  await until(/^(?:221|421) /m, 5000);
  socket.destroy();
  const replies = heard.split("\r\n").filter((line) => /^\d{3} /.test(line) && !/^[24]21 /.test(line));
  return replies;
}

/** Mails about a mark by their subjects, and whether one of them is the smuggled one. */
function mailsAbout(mails: readonly string[], mark: string): { readonly count: number; readonly isSmuggled: boolean } {
  const subjects = mails.flatMap((mail) => {
    const subject = /^Subject: (outer|smuggled) (\S+)\r?$/m.exec(mail.split(/\r?\n\r?\n/)[0] ?? "");
    return subject?.[2] === mark ? [subject[1]] : [];
  });
  return { count: subjects.length, isSmuggled: subjects.includes("smuggled") };
}

for (const { name, domain, start } of PEERS)
  test(`no end of data but CRLF.CRLF makes one mail two between Posthorn and ${name}`, async (t) => {
    if (!hasPeer(name, t)) return;
    const [lax, edited, scanned, back] = [await freePort(), await freePort(), await freePort(), await freePort()];
    // A content filter that finds nothing: whatever comes goes back as it is, byte by byte.
    const passing = createServer((socket) => {
      const on = connect(back, "127.0.0.1");
      for (const each of [socket, on]) each.on("error", () => each.destroy());
      socket.pipe(on).pipe(socket);
    });
    const scanner = await freePort();
    passing.listen(scanner, "127.0.0.1");
    await once(passing, "listening");
    t.after(() => passing.close());
    const folder = mkdtempSync(join(tmpdir(), "posthorn-smuggling-"));
    chmodSync(folder, 0o755);
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, "hooks.ts"), HOOKS);
    await using peer = await start(lax);
    await using server = await startServer({
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: split }
local: { domains: [posthorn.test] }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: lax, address: 127.0.0.1, port: ${lax}, bare-line-ends: normalise }
  - { name: edited, address: 127.0.0.1, port: ${edited}, filtered-by: [writer] }
  - { name: scanned, address: 127.0.0.1, port: ${scanned}, content-filter: "smtp://127.0.0.1:${scanner}" }
  - { name: back, address: 127.0.0.1, port: ${back} }
filters: { writer: { module: "${join(folder, "hooks.ts")}" } }
actions:
  peer: { relay: { to: "smtp://127.0.0.1:${peer.at}" } }
rules:
  - { match: { for: local }, action: deliver }
  - { match: { for: ${domain} }, action: peer }
`,
    });
    const taken = new Map<string, { readonly way: string; readonly yes: number; readonly end: string }>();
    for (const [at, end] of [...ENDS, TRUE_END].entries()) {
      const out = `out@${domain}`;
      const ways: readonly { way: string; port: number; to: string; manner?: Manner }[] = [
        { way: "in-chunk", port: server.ports.smtp, to: "in@posthorn.test", manner: "chunk" },
        { way: "out-chunk", port: server.ports.smtp, to: out, manner: "chunk" },
        { way: "lax-chunk", port: lax, to: out, manner: "chunk" },
        { way: "in-binary", port: server.ports.smtp, to: "in@posthorn.test", manner: "binary" },
        { way: "out-binary", port: server.ports.smtp, to: out, manner: "binary" },
        { way: "in-edited", port: edited, to: "in@posthorn.test", manner: "edited" },
        { way: "out-edited", port: edited, to: out, manner: "edited" },
        { way: "scanned-chunk", port: scanned, to: out, manner: "chunk" },
        { way: "scanned-binary", port: scanned, to: out, manner: "binary" },
        { way: "in-strict", port: server.ports.smtp, to: "in@posthorn.test" },
        { way: "in-lax", port: lax, to: "in@posthorn.test" },
        { way: "out-strict", port: server.ports.smtp, to: `out@${domain}` },
        { way: "out-lax", port: lax, to: `out@${domain}` },
        { way: "through", port: Number(peer.at), to: "through@posthorn.test" },
      ];
      await Promise.all(
        ways
          // By DATA the true end of data is no trick.
          .filter(({ manner }) => manner !== undefined || end !== TRUE_END)
          .map(async ({ way, port, to, manner }) => {
            const mark = `${way}-${at}`;
            const replies = await smuggle(port, end, mark, to, manner);
            const yes = replies.filter((reply) => reply.startsWith("250")).length;
            taken.set(mark, { way, yes, end });
            // What a server of ours was told is one mail, or none.
            if (way !== "through") assert.ok(yes <= 1, `${JSON.stringify(end)} ${way}: ${replies.join(" | ")}`);
          }),
      );
    }
    // Behind the last of them nothing more is under way.
    const all = (): readonly string[] => [...server.mailsOf("in"), ...server.mailsOf("through"), ...peer.mails()];
    const expected = [...taken.values()].reduce(
      (sum, { way, yes }) => sum + (way === "through" ? Math.min(yes, 1) : yes),
      0,
    );
    for (let still = 0, last = -1; still < 20; await wait(150)) {
      const now = all().length;
      still = now === last && now >= expected * 0.5 ? still + 1 : 0;
      last = now;
    }
    for (const [mark, { way, yes, end }] of taken) {
      const { count, isSmuggled } = mailsAbout(all(), mark);
      const about = `${JSON.stringify(end)} ${way}: ${yes} taken, ${count} delivered`;
      assert.ok(count <= yes, about);
      // What the peer itself took for two mails is two; nothing that it took for one became two on its way.
      if (way !== "through" || yes <= 1) assert.equal(isSmuggled, false, about);
      if (way === "in-strict" && /(?<!\r)\n|\r(?!\n)/.test(end)) assert.equal(yes, 0, about);
      if (way === "in-lax") assert.equal(count, yes, about);
    }
    t.diagnostic([...taken].map(([mark, { yes }]) => `${mark}=${yes}`).join(" "));
  });
