import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { hashPassword } from "../../src/service/account/hash-password.io.ts";
import { differenceOf, eightBitContents, isOf, message, sevenBitContents } from "../peers/contents.ts";
import { readWithMutt } from "../peers/mutt.ts";
import { requirePeer } from "../peers/peer.ts";
import { readWithPython } from "../peers/python.ts";
import { swaks, type SwaksMail } from "../peers/swaks.ts";
import { freePort, startServer } from "../server.ts";

test("swaks logs in, encrypts, and speaks LMTP", async (t) => {
  const program = requirePeer("swaks", t);
  if (program === undefined) return;
  const lmtpPort = await freePort();
  const tolerantPort = await freePort();
  await using server = await startServer({
    wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: single }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission }
  - { name: smtps, address: 127.0.0.1, port: {smtps}, protocol: submission, tls: implicit }
  - { name: lmtp, address: 127.0.0.1, port: ${lmtpPort}, protocol: lmtp }
  - { name: tolerant, address: 127.0.0.1, port: ${tolerantPort}, bareLineEnds: normalise }
  - { name: lmtp-socket, path: ./lmtp, pathMode: "0666", protocol: lmtp }
local: { domains: [posthorn.test], users: [ada, bob] }
accounts: table:people
tables:
  people: { map: { ada: "${await hashPassword("correct horse")}" } }
`,
  });
  const lmtpPath = join(server.folder, "lmtp");
  const talk = (mail: Partial<SwaksMail> & { at: SwaksMail["at"] }): ReturnType<typeof swaks> =>
    swaks(program, { from: "writer@example.test", to: ["ada@posthorn.test"], ...mail });

  for (const [name, port, tls] of [
    ["STARTTLS", server.ports.submission, "--tls"],
    ["implicit TLS", server.ports.smtps, "--tls-on-connect"],
  ] as const)
    for (const mechanism of ["PLAIN", "LOGIN"]) {
      const login = (password: string): readonly string[] => [
        tls,
        "--auth",
        mechanism,
        "--auth-user",
        "ada",
        "--auth-password",
        password,
      ];
      await t.test(`AUTH ${mechanism} over ${name} takes the right password and says 535 to a wrong one`, async () => {
        const right = await talk({ at: port, options: login("correct horse") });
        assert.equal(right.status, 0, right.output);
        assert.match(right.output, /^<~ {2}235 2\.7\.0 /m);
        const wrong = await talk({ at: port, options: login("wrong horse") });
        assert.equal(wrong.status, 28, wrong.output);
        assert.match(wrong.output, /^<~\* 535 5\.7\.8 /m);
      });
    }

  await t.test("what came with a login is logged with its account, and marked as ESMTPSA", async () => {
    await server.waitForOutput(/sasl_method=PLAIN, sasl_username=ada/);
    await server.waitForOutput(/sasl_method=LOGIN, sasl_username=ada/);
    const mails = await server.waitForMails("ada", 4);
    for (const mail of mails) assert.match(mail, /\n\tby mx\.posthorn\.test \(Posthorn\) with ESMTPSA id /);
  });

  await t.test(
    "without TLS no password is asked for, and without a login no mail is taken for submission",
    async () => {
      const plain = await talk({
        at: server.ports.submission,
        options: ["--auth", "PLAIN", "--auth-user", "ada", "--auth-password", "correct horse"],
      });
      assert.notEqual(plain.status, 0);
      assert.doesNotMatch(plain.output, /AUTH PLAIN/);
      const stranger = await talk({ at: server.ports.submission, options: ["--tls"] });
      assert.match(stranger.output, /^<~\* 530 5\.7\.0 /m);
    },
  );

  await t.test(
    "LMTP over TCP and over a unix socket takes content byte for byte, as python and mutt read it",
    async (t2) => {
      const contents = [...sevenBitContents(), ...eightBitContents()];
      for (const [number, content] of contents.entries()) {
        const done = await talk({
          at: number % 2 === 0 ? lmtpPort : lmtpPath,
          to: ["bob@posthorn.test"],
          content,
          options: ["--protocol", "LMTP"],
        });
        assert.equal(done.status, 0, done.output);
        assert.match(done.output, /LHLO swaks\.test/);
      }
      await server.waitForMails("bob", contents.length);
      const box = join(server.folder, "data", "mail", "bob", "Maildir");
      const compare = (mails: readonly string[]): void => {
        assert.equal(mails.length, contents.length);
        const differences = contents.map((content) =>
          differenceOf(mails.find((mail) => isOf(mail, content)) ?? "", content),
        );
        assert.deepEqual(
          differences.filter((difference) => difference !== undefined),
          [],
        );
      };
      const python = requirePeer("python3", t2);
      if (python !== undefined) compare((await readWithPython(python, "maildir", box)).map((mail) => mail.raw));
      const mutt = requirePeer("mutt", t2);
      if (mutt !== undefined) compare(await readWithMutt(mutt, box));
      assert.match(server.mailsOf("bob")[0] ?? "", /\n\tby mx\.posthorn\.test \(Posthorn\) with LMTP id /);
    },
  );

  await t.test("a bare CR or LF is refused, or made a whole line end where that is set", async () => {
    const content = message("bare ends", "one\ntwo\rthree\n.\nfour\n.\r\nfive\r.\r\nsix\r\n");
    const strict = await talk({ at: server.ports.smtp, content });
    assert.match(strict.output, /^<\*\* 550 5\.\d\.\d .*bare/im);
    const tolerant = await talk({ at: tolerantPort, to: ["bob@posthorn.test"], content });
    assert.equal(tolerant.status, 0, tolerant.output);
    const wholeEnds = content.bytes.toString("latin1").replace(/\r\n|\r|\n/g, "\r\n");
    const mails = await server.waitForMails("bob", sevenBitContents().length + eightBitContents().length + 1);
    const mail = mails.find((one) => isOf(one, content)) ?? "";
    assert.equal(differenceOf(mail, { ...content, bytes: Buffer.from(wholeEnds, "latin1") }), undefined);
  });

  await t.test("LMTP answers for each recipient by itself", async () => {
    const done = await talk({
      at: lmtpPort,
      to: ["ada@posthorn.test", "nobody@posthorn.test", "bob@posthorn.test"],
      options: ["--protocol", "LMTP"],
    });
    assert.match(done.output, /550 5\.1\.1 /);
    assert.equal(done.output.match(/^<- {2}250 2\.\S+ .*queued/gim)?.length, 2, done.output);
  });

  await t.test("STARTTLS on the LMTP listener and the public one", async () => {
    for (const [at, protocol] of [
      [server.ports.smtp, "ESMTP"],
      [lmtpPort, "LMTP"],
    ] as const) {
      const done = await talk({ at, options: ["--tls", "--protocol", protocol] });
      assert.equal(done.status, 0, done.output);
      assert.match(done.output, /=== TLS started with cipher TLSv1\.3:/);
    }
  });
});
