import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cut, cuts } from "../../testing/cut.ts";
import { AuthMasker, type DialogueSide } from "./auth-masker.ts";

type Turn = readonly [DialogueSide, string];

/** The dialogue as a dump shows it, each turn cut at the offsets. */
function shown(turns: readonly Turn[], offsets: readonly number[] = []): string {
  const masker = new AuthMasker();
  let text = "";
  for (const [side, said] of turns) {
    for (const piece of cut(Buffer.from(said, "latin1"), offsets)) text += masker.mask(side, piece);
  }
  return text + masker.rest("client") + masker.rest("server");
}

const secret = "AGFubgBzM2NyM3Q=";

test("an initial response is hidden, the mechanism is shown", () => {
  const turns: Turn[] = [
    ["client", `AUTH PLAIN ${secret}\r\n`],
    ["server", "235 2.7.0 yes\r\n"],
    ["client", "MAIL FROM:<>\r\n"],
  ];
  assert.equal(shown(turns), "AUTH PLAIN [hidden]\r\n235 2.7.0 yes\r\nMAIL FROM:<>\r\n");
});

test("challenges and what answers them are hidden", () => {
  const turns: Turn[] = [
    ["client", "auth login\r\n"],
    ["server", "334 VXNlcm5hbWU6\r\n"],
    ["client", "YW5u\r\n"],
    ["server", "334 UGFzc3dvcmQ6\r\n"],
    ["client", `${secret}\r\n`],
    ["server", "535 5.7.8 no\r\n"],
    ["client", "QUIT\r\n"],
  ];
  assert.equal(
    shown(turns),
    "auth login\r\n334 [hidden]\r\n[hidden]\r\n334 [hidden]\r\n[hidden]\r\n535 5.7.8 no\r\nQUIT\r\n",
  );
});

test("a password that comes before it is asked for, or after late replies, is hidden all the same", () => {
  const eager: Turn[] = [
    ["client", `AUTH LOGIN\r\nYW5u\r\n${secret}\r\n`],
    ["server", "334 x\r\n334 y\r\n235 yes\r\n"],
  ];
  assert.doesNotMatch(shown(eager), /YW5u|s3cr3t|AGFu/);
  const late: Turn[] = [
    ["client", "EHLO a\r\nAUTH PLAIN\r\n"],
    ["server", "250-mx\r\n250 AUTH PLAIN\r\n334 \r\n"],
    ["client", `${secret}\r\n`],
    ["server", "235 yes\r\n"],
  ];
  assert.doesNotMatch(shown(late), /AGFu/);
});

test("content is shown, also where it looks like AUTH", () => {
  const data: Turn[] = [
    ["client", "DATA\r\n"],
    ["server", "354 go on\r\n"],
    ["client", "AUTH PLAIN words\r\n.\r\nRSET\r\n"],
    ["server", "250 ok\r\n"],
  ];
  assert.equal(shown(data), "DATA\r\n354 go on\r\nAUTH PLAIN words\r\n.\r\nRSET\r\n250 ok\r\n");
  const chunk: Turn[] = [["client", `BDAT 18 LAST\r\nAUTH PLAIN words\r\nAUTH PLAIN ${secret}\r\n`]];
  assert.equal(shown(chunk), "BDAT 18 LAST\r\nAUTH PLAIN words\r\nAUTH PLAIN [hidden]\r\n");
});

test("a server that says 354 to an AUTH makes nothing of it shown", () => {
  const turns: Turn[] = [
    ["client", "AUTH PLAIN\r\n"],
    ["server", "354 go on\r\n"],
    ["client", `${secret}\r\n`],
  ];
  assert.doesNotMatch(shown(turns), /AGFu/);
});

test("a response longer than a line may be is hidden to its end", () => {
  const long = secret.repeat(500);
  const text = shown([
    ["client", `AUTH X ${long}\r\nNOOP\r\n`],
    ["server", "235 yes\r\n"],
  ]);
  assert.doesNotMatch(text, /AGFu/);
});

test("any cut of the bytes shows the same, and never the secret", () => {
  const dialogue = fc.array(
    fc.constantFrom<Turn>(
      ["client", `AUTH PLAIN ${secret}\r\n`],
      ["client", `AUTH LOGIN\r\n`],
      ["client", "EHLO a.example\r\n"],
      ["server", "250 ok\r\n"],
      ["server", "235 yes\r\n"],
      ["server", "535 no\r\n"],
      ["server", "220 hello\r\n"],
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(dialogue, cuts, (turns, offsets) => {
      // After each challenge comes the secret, whatever else went on.
      const all = turns.flatMap((turn): Turn[] =>
        turn[1].startsWith("AUTH LOGIN")
          ? [turn, ["server", "334 VXNlcm5hbWU6\r\n"], ["client", `${secret}\r\n`]]
          : [turn],
      );
      const whole = shown(all);
      assert.equal(shown(all, offsets), whole);
      assert.doesNotMatch(whole, /AGFu/);
    }),
  );
});

test("a client that goes on with name and password after a refusal betrays neither, and a command is shown again", () => {
  const turns: Turn[] = [
    ["client", "AUTH LOGIN\r\n"],
    ["server", "530 5.7.0 Must issue a STARTTLS command first\r\n"],
    ["client", "YW5u\r\n"],
    ["server", "500 5.5.1 no such command\r\n"],
    ["client", `${secret}\r\n`],
    ["server", "500 5.5.1 no such command\r\n"],
    ["client", "QUIT\r\n"],
  ];
  assert.equal(
    shown(turns)
      .split("\r\n")
      .filter((line) => !/^\d/.test(line))
      .join("|"),
    "AUTH LOGIN|[hidden]|[hidden]|QUIT|",
  );
  for (const malformed of [`AUTH=PLAIN ${secret}`, `AUTH\r\n${secret}`])
    assert.doesNotMatch(shown([["client", `${malformed}\r\n`]]), new RegExp(secret), malformed);
});
