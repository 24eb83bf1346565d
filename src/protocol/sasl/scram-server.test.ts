import assert from "node:assert/strict";
import { pbkdf2Sync } from "node:crypto";
import { test } from "node:test";
import type { SaslAnswer, SaslQuestion } from "./question.ts";
import { isScramProof, SCRAM_HASHES, scramHmac, scramProof, scramVerifier } from "./scram.ts";
import { scramServer } from "./scram-server.ts";
import type { SaslServer, SaslStep } from "./server.ts";

type Mechanism = Parameters<typeof scramServer>[0];

const NO_BINDING = { binding: () => undefined, offersBinding: false };
const BOUND = Buffer.from("what both ends of the connection know");
const BINDING = { binding: (kind: string) => (kind === "tls-exporter" ? BOUND : undefined), offersBinding: true };

/** RFC 5802 section 5, RFC 7677 section 3: user `user`, password `pencil`. */
const VECTORS = [
  {
    mechanism: "SCRAM-SHA-1",
    salt: "QSXCR+Q6sek8bf92",
    serverNonce: "3rfcNHYJY1ZVvWVs7j",
    said: [
      "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
      "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    ],
    heard: ["r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="],
  },
  {
    mechanism: "SCRAM-SHA-256",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    said: [
      "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ],
    heard: [
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
      "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ],
  },
] as const;

/** Whoever has the account `user` with the password `pencil`. */
function authority(salt: string): (question: SaslQuestion) => SaslAnswer {
  return (question) => {
    if (question.kind === "scram-salt") return { kind: "salt", salt, iterations: 4096 };
    assert.ok(question.kind === "scram-proof");
    const { digest, bytes } = SCRAM_HASHES[question.hash];
    const salted = pbkdf2Sync("pencil", Buffer.from(salt, "base64"), 4096, bytes, digest);
    const { storedKey, serverKey } = scramVerifier(question.hash, salted);
    if (!isScramProof(question.hash, storedKey, question.authMessage, Buffer.from(question.proof, "base64")))
      return { kind: "wrong" };
    return {
      kind: "right",
      account: question.user,
      serverSignature: scramHmac(question.hash, serverKey, question.authMessage).toString("base64"),
    };
  };
}

function heardBy(
  machine: SaslServer,
  text: string,
  tell: (question: SaslQuestion) => SaslAnswer,
  isFirst = false,
): SaslStep {
  const step = isFirst ? machine.start(Buffer.from(text)) : machine.next(Buffer.from(text));
  return step.kind === "ask" ? machine.told(tell(step.question)) : step;
}

function challengeOf(step: SaslStep): string {
  assert.ok(step.kind === "challenge", JSON.stringify(step));
  return step.bytes.toString();
}

function deniedWith(step: SaslStep): string | undefined {
  assert.ok(step.kind === "denied", JSON.stringify(step));
  return step.says;
}

test("the exchanges of the RFCs, octet for octet", () => {
  for (const { mechanism, salt, serverNonce, said, heard } of VECTORS) {
    const machine = scramServer(mechanism, { ...NO_BINDING, nonce: () => serverNonce });
    const tell = authority(salt);
    assert.equal(challengeOf(heardBy(machine, said[0], tell, true)), heard[0]);
    assert.equal(challengeOf(heardBy(machine, said[1], tell)), heard[1]);
    assert.deepEqual(machine.next(Buffer.alloc(0)), { kind: "done", account: "user" });
    assert.equal(machine.next(Buffer.alloc(0)).kind, "refused");
  }
});

test("a client that does not speak first is asked to", () => {
  const machine = scramServer("SCRAM-SHA-256", { ...NO_BINDING, nonce: () => "x" });
  assert.equal(challengeOf(machine.start(undefined)), "");
  assert.equal(machine.next(Buffer.from(VECTORS[1].said[0])).kind, "ask");
});

test("a wrong proof is denied, with no proof of our own", () => {
  const { salt, serverNonce, said } = VECTORS[1];
  const machine = scramServer("SCRAM-SHA-256", { ...NO_BINDING, nonce: () => serverNonce });
  const tell = authority(salt);
  heardBy(machine, said[0], tell, true);
  const wrong = said[1].replace("p=dH", "p=eH");
  assert.equal(deniedWith(heardBy(machine, wrong, tell)), "invalid-proof");
  assert.equal(heardBy(machine, said[1], tell).kind, "refused");
});

/** A whole exchange of a client that has the password; gives the step that ended it. */
function exchange(options: {
  mechanism: Mechanism;
  means: typeof NO_BINDING | typeof BINDING;
  gs2: string;
  bound?: Buffer;
  bare?: string;
  nonce?: (given: string) => string;
}): SaslStep {
  const machine = scramServer(options.mechanism, { ...options.means, nonce: () => "server" });
  const tell = authority("W22ZaJ0SNY7soEsUEjb6gQ==");
  const bare = options.bare ?? "n=user,r=client";
  const first = heardBy(machine, options.gs2 + bare, tell, true);
  if (first.kind !== "challenge") return first;
  const serverFirst = first.bytes.toString();
  const [nonce = "", salt = ""] = serverFirst.split(",").map((part) => part.slice(2));
  const binding = Buffer.concat([Buffer.from(options.gs2), options.bound ?? Buffer.alloc(0)]).toString("base64");
  const withoutProof = `c=${binding},r=${(options.nonce ?? ((given) => given))(nonce)}`;
  const hash = options.mechanism.includes("256") ? "SHA-256" : "SHA-1";
  const { digest, bytes } = SCRAM_HASHES[hash];
  const salted = pbkdf2Sync("pencil", Buffer.from(salt, "base64"), 4096, bytes, digest);
  const proof = scramProof(hash, salted, `${bare},${serverFirst},${withoutProof}`).toString("base64");
  const last = heardBy(machine, `${withoutProof},p=${proof}`, tell);
  return last.kind === "challenge" ? machine.next(Buffer.alloc(0)) : last;
}

test("with -PLUS the login is tied to the connection, and to no other", () => {
  for (const mechanism of ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"] as const) {
    const tied = { mechanism, means: BINDING, gs2: "p=tls-exporter,," };
    assert.deepEqual(exchange({ ...tied, bound: BOUND }), { kind: "done", account: "user" });
    assert.equal(
      deniedWith(exchange({ ...tied, bound: Buffer.from("another connection") })),
      "channel-bindings-dont-match",
    );
    assert.equal(deniedWith(exchange(tied)), "channel-bindings-dont-match");
    assert.equal(
      deniedWith(exchange({ ...tied, gs2: "p=tls-unique,,", bound: BOUND })),
      "unsupported-channel-binding-type",
    );
    assert.equal(deniedWith(exchange({ ...tied, gs2: "n,," })), "channel-binding-not-supported");
  }
});

test("who could have bound and was told that we cannot is warned: somebody is in between", () => {
  const plain = { mechanism: "SCRAM-SHA-256", bound: Buffer.alloc(0) } as const;
  assert.equal(deniedWith(exchange({ ...plain, means: BINDING, gs2: "y,," })), "server-does-support-channel-binding");
  assert.equal(exchange({ ...plain, means: NO_BINDING, gs2: "y,," }).kind, "done");
  assert.equal(exchange({ ...plain, means: BINDING, gs2: "n,," }).kind, "done");
  assert.equal(
    deniedWith(exchange({ ...plain, means: BINDING, gs2: "p=tls-exporter,,", bound: BOUND })),
    "no-channel-binding-without-plus",
  );
});

test("an authorisation identity is heard when it is the user's own", () => {
  const plain = { mechanism: "SCRAM-SHA-256", means: NO_BINDING } as const;
  assert.equal(exchange({ ...plain, gs2: "n,a=user," }).kind, "done");
  assert.equal(exchange({ ...plain, gs2: "n,a=root," }).kind, "refused");
});

test("user names come with commas and equals signs escaped, and prepared", () => {
  const machine = scramServer("SCRAM-SHA-256", { ...NO_BINDING, nonce: () => "x" });
  const step = machine.start(Buffer.from("n,,n=a=2Cb=3Dc\u00a0d,r=n"));
  assert.deepEqual(step, { kind: "ask", question: { kind: "scram-salt", user: "a,b=c d", hash: "SHA-256" } });
  for (const bad of ["a=2cb", "a=b", "\u0007", "\u00ad"])
    assert.equal(
      deniedWith(exchange({ mechanism: "SCRAM-SHA-1", means: NO_BINDING, gs2: "n,,", bare: `n=${bad},r=n` })),
      "invalid-username-encoding",
    );
});

test("nonces that are not both, extensions that must be understood, and nonsense end the exchange", () => {
  const plain = { mechanism: "SCRAM-SHA-256", means: NO_BINDING, gs2: "n,," } as const;
  assert.equal(deniedWith(exchange({ ...plain, nonce: () => "client" })), "other-error");
  assert.equal(deniedWith(exchange({ ...plain, bare: "m=ext,n=user,r=x" })), "extensions-not-supported");
  assert.equal(exchange({ ...plain, bare: "n=user,r=client,x=more" }).kind, "done");
  for (const bare of ["", "n=user", "r=x,n=user", "n=user,r=", `n=user,r=${"x".repeat(600)}`, "n=us\0er,r=x"])
    assert.equal(exchange({ ...plain, bare }).kind, "refused", bare.slice(0, 30));
  for (const gs2 of ["", "x,,", "p=,,", "n"]) assert.equal(exchange({ ...plain, gs2 }).kind, "refused", gs2);
});

test("what could not be found out is told as that, at either step", () => {
  const machine = scramServer("SCRAM-SHA-256", { ...NO_BINDING, nonce: () => "x" });
  machine.start(Buffer.from("n,,n=user,r=x"));
  const away = { kind: "failed", text: "away" } as const;
  assert.deepEqual(machine.told(away), { kind: "denied", user: "user", answer: away });
});
