import assert from "node:assert/strict";
import { test } from "node:test";
import { dialled, liveRow, posthorn } from "../../../testing/command-world.ts";
import type { World } from "../world.ts";

const SERVER: Readonly<Record<string, string>> = {
  "": "220 mail.example ESMTP\r\n",
  EHLO: "250-mail.example\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 DSN\r\n",
  MAIL: "250 2.1.0 ok\r\n",
  RCPT: "250 2.1.5 ok\r\n",
  DATA: "354 go on\r\n",
  ".": "250 2.0.0 kept\r\n",
  QUIT: "221 2.0.0 bye\r\n",
};

/** A server that says what `SERVER` says to each verb, or what a test says instead. */
function smtpServer(lines: string[], instead: (line: string) => string | undefined = () => undefined) {
  let isContent = false;
  return (line: string): string | undefined => {
    if (line !== "") lines.push(line);
    const said = instead(line) ?? (isContent && line !== "." ? undefined : SERVER[line.split(" ")[0] ?? ""]);
    if (line === "DATA") isContent = true;
    if (line === ".") isContent = false;
    return said;
  };
}

test("send hands the mail in over SMTP, with dots doubled and what DSN was asked for", async () => {
  const lines: string[] = [];
  const { code, err } = await posthorn(["send", "-t", "-i", "-f", "anna@a.example", "-N", "never", "-R", "hdrs"], {
    stdin: "To: bert@b.example\nBcc: carl\nSubject: x\n\n.dot\n",
    smtp: smtpServer(lines),
  });
  assert.equal(err, "");
  assert.equal(code, 0);
  assert.match(lines[1] ?? "", /^MAIL FROM:<anna@a\.example> SIZE=\d+ RET=HDRS$/);
  assert.deepEqual(lines.slice(2, 4), [
    "RCPT TO:<bert@b.example> NOTIFY=NEVER",
    "RCPT TO:<carl@mail.example> NOTIFY=NEVER",
  ]);
  assert.ok(lines.includes("..dot"));
  assert.ok(!lines.some((line) => /bcc/i.test(line)));
  assert.equal(lines.at(-1), "QUIT");
});

test("send's exit status tells programs whether to come again", async () => {
  const refuse = (verb: string, reply: string) => (line: string) => (line.startsWith(verb) ? reply : undefined);
  for (const [instead, expected] of [
    [refuse("RCPT", "550 5.1.1 no such user\r\n"), 67],
    [refuse("RCPT", "450 4.2.0 later\r\n"), 75],
    [refuse("MAIL", "552 5.3.4 too big\r\n"), 69],
    [refuse("MAIL", "452 4.3.1 no room\r\n"), 75],
    [(line: string) => (line === "." ? "554 5.6.0 no\r\n" : undefined), 69],
    [(line: string) => (line === "." ? "garbage\r\n" : undefined), 75],
  ] as const) {
    const lines: string[] = [];
    const { code, err } = await posthorn(["send", "bert"], { stdin: "hello\n", smtp: smtpServer(lines, instead) });
    assert.equal(code, expected);
    assert.notEqual(err, "");
  }
  const nobody = { dial: () => Promise.reject(new Error("ECONNREFUSED")) };
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", world: nobody })).code, 75);
  const forbidden = { dial: () => Promise.reject(Object.assign(new Error("EACCES"), { code: "EACCES" })) };
  assert.match((await posthorn(["send", "bert"], { stdin: "x", world: forbidden })).err, /may not open the socket/);
  assert.equal((await posthorn(["send"], { stdin: "x" })).code, 64);
  assert.equal((await posthorn(["send", "-t"], { stdin: "Subject: x\n\n" })).code, 65);
});

/** The settings want the socket for users of this host and the drop folder. */
const droppingWorld = (dial: World["dial"]): Partial<World> => ({
  locate: () =>
    Promise.resolve({
      hostname: "mail.example",
      mailName: "mail.example",
      controlPaths: { query: "query", change: "change" },
      journalFile: "journal.db",
      injection: () => Promise.reject(new Error("not asked")),
      submit: { path: "submit.sock", drop: { folder: "/drop", mostBytes: 1000 } },
    }),
  dial,
});

test("while the server is down mail waits for it, and what could not be taken from there is not left there", async () => {
  const world = droppingWorld(() => Promise.reject(new Error("ECONNREFUSED")));
  const left = await posthorn(["send", "bert"], { stdin: "Subject: x\n\nshort\n", world });
  assert.deepEqual([left.code, left.err, left.dropped.length], [0, "", 1]);
  assert.match(left.dropped[0] ?? "", /^\/drop: \{.*"recipients":\["bert@mail\.example"\]\}\n/);

  const large = await posthorn(["send", "bert"], { stdin: `Subject: x\n\n${"x".repeat(1000)}\n`, world });
  assert.equal(large.code, 75);
  assert.match(large.err, /cannot wait in \/drop: it is larger than 1000 bytes; .*local-submission\.drop-size/);
  assert.deepEqual(large.dropped, []);

  const many = Array.from({ length: 10_001 }, (_, index) => `u${index}@x.example`);
  const roomy = {
    ...world,
    locate: async () => ({
      ...(await (world.locate ?? assert.fail)(undefined)),
      submit: { path: "submit.sock", drop: { folder: "/drop", mostBytes: 1 << 30 } },
    }),
  };
  const wide = await posthorn(["send", ...many], { stdin: "x\n", world: roomy });
  assert.equal(wide.code, 75);
  assert.match(wide.err, /cannot wait in \/drop: .*recipients/);
  assert.deepEqual(wide.dropped, []);

  const named = await posthorn(["send", "-V", "v".repeat(101), "bert"], { stdin: "x\n", world });
  assert.equal(named.code, 64);
  assert.match(named.err, /-V is at most 100 characters/);
});

test("mail that the server turns away before a word waits for it, too", async () => {
  for (const greeting of ["421 4.7.0 Too many connections of yours; come again later\r\n", ""]) {
    const world = droppingWorld(() => Promise.resolve(dialled(() => greeting)));
    const left = await posthorn(["send", "bert"], { stdin: "x\n", world });
    assert.deepEqual([left.code, left.err, left.dropped.length], [0, "", 1]);
  }
  const refuses = droppingWorld(() => Promise.resolve(dialled(() => "554 5.7.1 no\r\n")));
  const refused = await posthorn(["send", "bert"], { stdin: "x\n", world: refuses });
  assert.deepEqual([refused.code, refused.dropped.length], [69, 0]);
  const elsewhere = await posthorn(["send", "--server", "there:25", "bert"], {
    stdin: "x\n",
    smtp: () => "421 4.3.2 no\r\n",
  });
  assert.deepEqual([elsewhere.code, elsewhere.dropped.length], [75, 0]);
});

test("one refused recipient means that nobody gets the mail", async () => {
  const lines: string[] = [];
  const smtp = smtpServer(lines, (line) => (line.startsWith("RCPT TO:<bad@") ? "550 5.1.1 no\r\n" : undefined));
  const { err } = await posthorn(["send", "good@x.example", "bad@x.example"], { stdin: "x", smtp });
  assert.ok(!lines.includes("DATA"));
  assert.match(err, /<bad@x\.example>: 550 5\.1\.1 no\n.*nothing was sent/s);
});

test("what the server said no to counts though it ends the session for it", async () => {
  const many = Array.from({ length: 30 }, (_, index) => `u${index}@x.example`);
  let refused = 0;
  // As a server does that bounds refused commands: the last refusal, the 421, and the end.
  const hangsUp = smtpServer([], (line) => {
    if (!line.startsWith("RCPT")) return undefined;
    refused++;
    if (refused < 20) return "550 5.1.1 no such user\r\n";
    return refused === 20 ? "550 5.1.1 no such user\r\n421 4.7.0 Too many errors; closing\r\n" : "";
  });
  const { code, err } = await posthorn(["send", ...many], { stdin: "x", smtp: hangsUp });
  assert.equal(code, 67);
  assert.match(err, /<u0@x\.example>: 550 5\.1\.1 .*<u19@x\.example>: 550 .*421 4\.7\.0 .*10 more recipients/s);

  // One that is being stopped, and one that is cut: nobody was refused for good.
  const stops = smtpServer([], (line) => (line.startsWith("RCPT") ? "421 4.3.2 closing\r\n" : undefined));
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", smtp: stops })).code, 75);
  const breaks = smtpServer([], (line) => (line.startsWith("RCPT") ? "" : undefined));
  assert.equal((await posthorn(["send", "bert"], { stdin: "x", smtp: breaks })).code, 75);
});

test("a mail to more than the server takes at once is refused for good, with what to do about it", async () => {
  const lines: string[] = [];
  const many = ["a@x.example", "b@x.example", "c@x.example"];
  const announced = smtpServer(lines, (line) =>
    line.startsWith("EHLO") ? "250-mail.example\r\n250 LIMITS RCPTMAX=2\r\n" : undefined,
  );
  const { code, err } = await posthorn(["send", ...many], { stdin: "x", smtp: announced });
  assert.equal(code, 69);
  assert.match(err, /3 recipients, and the server takes 2 .*session\.recipients/);
  assert.ok(!lines.some((line) => line.startsWith("MAIL")));
  assert.equal((await posthorn(["send", ...many.slice(1)], { stdin: "x", smtp: announced })).code, 0);

  let asked = 0;
  const untold = smtpServer([], (line) =>
    line.startsWith("RCPT") && ++asked > 2 ? "452 4.5.3 Too many recipients\r\n" : undefined,
  );
  const told = await posthorn(["send", ...many], { stdin: "x", smtp: untold });
  assert.equal(told.code, 69);
  assert.match(told.err, /452 4\.5\.3/);
});

test("-bs carries the dialogue between the program and the server", async () => {
  const lines: string[] = [];
  const { code, out } = await posthorn(["send", "-bs"], { stdin: "EHLO me\r\nQUIT\r\n", smtp: smtpServer(lines) });
  assert.equal(code, 0);
  assert.deepEqual(lines, ["EHLO me", "QUIT"]);
  assert.match(out, /^220 mail\.example ESMTP\r\n/);
});

test("called as sendmail, mailq or newaliases it does what these do", async () => {
  const lines: string[] = [];
  const sendmail = await posthorn(["bert"], { stdin: "x", smtp: smtpServer(lines), world: { calledAs: "sendmail" } });
  assert.equal(sendmail.code, 0);
  const mailq = await posthorn([], { portions: [[liveRow]], world: { calledAs: "mailq" } });
  assert.match(mailq.out, /^-Queue ID-/);
  const listed = await posthorn(["-v", "-bp"], { portions: [[liveRow]], world: { calledAs: "sendmail" } });
  assert.equal(listed.out, mailq.out);
  assert.equal((await posthorn([], { world: { calledAs: "newaliases" } })).code, 0);
});
