import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs, { chmod, mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { virtualClock, type VirtualClock } from "../../../simulator/clock.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { watchedFile } from "../../table/file.io.ts";
import { createTables } from "../../table/tables.ts";
import type { Table } from "../../table/table.ts";
import type { TablesSettings } from "../../table/settings.ts";
import { startKeeper, type KeeperFinding, type KeeperSettings, type RunningKeeper } from "./keeper.io.ts";
import type { KeeperChange } from "./keeper.ts";
import { ticketKeys } from "./tickets.ts";

const DAY_MS = 86_400_000;
const root = await testAuthority("Root CA");
const middle = await root.below("Middle CA");

interface Kept extends AsyncDisposable {
  readonly keeper: RunningKeeper;
  readonly clock: VirtualClock;
  readonly folder: string;
  readonly findings: readonly KeeperFinding[];
  readonly changes: readonly KeeperChange[];
  /** Time for the keeper to look, and to look again; so many times. */
  looks(most?: number): Promise<void>;
  write(name: string, text: string): Promise<void>;
  namesOf(listener?: string): Promise<readonly string[]>;
}

async function keeping(
  files: Readonly<Record<string, string>>,
  settingsOf: (folder: string) => Partial<KeeperSettings>,
  tablesOf: (folder: string) => TablesSettings = () => ({}),
  others: ReadonlyMap<string, Table> = new Map(),
): Promise<Kept> {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-keeper-"));
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, `${name}.new`), text, { mode: 0o600 });
    await rename(join(folder, `${name}.new`), join(folder, name));
  };
  for (const [name, text] of Object.entries(files)) await write(name, text);
  const clock = virtualClock(Date.now());
  const findings: KeeperFinding[] = [];
  const changes: KeeperChange[] = [];
  const tickets = ticketKeys({ clock, lifetimeMs: 3_600_000, randomBytes });
  const tables = createTables(
    tablesOf(folder),
    (table, path) => watchedFile(table, path, clock, () => {}),
    () => {},
  );
  const keeper = await startKeeper({
    settings: {
      certificates: [],
      listeners: [{ name: "smtp" }],
      authorities: [],
      directory: join(folder, "tls"),
      ownNames: ["mx.example.org", "localhost"],
      expiryWarningMs: 21 * DAY_MS,
      ...settingsOf(folder),
    },
    clock,
    table: (name) => others.get(name) ?? tables.get(name),
    tickets,
    onFinding: (finding) => findings.push(finding),
  });
  keeper.onChange((change) => changes.push(change));
  return {
    keeper,
    clock,
    folder,
    findings,
    changes,
    write,
    async looks(most = 10) {
      // The disk answers in its own time: a look that takes long swallows the next, so there are more than it needs.
      for (let look = 0; look < most; look++) {
        await clock.advance(1000);
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
    },
    async namesOf(listener = "smtp") {
      const { pairs } = await keeper.profile(listener);
      return pairs.map((pair) => `${pair.keyKind} ${pair.names.join(",")}`);
    },
    async [Symbol.asyncDispose]() {
      keeper.close();
      tickets.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const oneFile = (folder: string) => ({
  certificates: [{ kind: "files" as const, certificate: join(folder, "mx.pem"), key: join(folder, "mx.key") }],
});

async function pairFiles(names: readonly string[], name: string, notAfterAt?: number) {
  const pair = await middle.issue(names, notAfterAt === undefined ? {} : { notAfterAt });
  return { [`${name}.pem`]: pair.certificatePem + middle.certificatePem, [`${name}.key`]: pair.keyPem };
}

test("without certificates the server shows one of its own, for its names", async () => {
  await using kept = await keeping({}, () => ({}));
  assert.deepEqual(await kept.namesOf(), ["ec mx.example.org,localhost"]);
  assert.equal((await stat(join(kept.folder, "tls", "self-signed.key"))).mode & 0o777, 0o600);
});

test("a listener shows the certificates that it names, the first first; one that names none shows all", async () => {
  const files = { ...(await pairFiles(["a.example"], "a")), ...(await pairFiles(["b.example"], "b")) };
  await using kept = await keeping(files, (folder) => ({
    certificates: ["a", "b"].map((label) => ({
      kind: "files" as const,
      label,
      certificate: join(folder, `${label}.pem`),
      key: join(folder, `${label}.key`),
    })),
    listeners: [{ name: "smtp" }, { name: "some", certificates: ["b"] }, { name: "turned", certificates: ["b", "a"] }],
  }));
  assert.deepEqual(await kept.namesOf(), ["ec a.example", "ec b.example"]);
  assert.deepEqual(await kept.namesOf("some"), ["ec b.example"]);
  assert.deepEqual(await kept.namesOf("turned"), ["ec b.example", "ec a.example"]);
  assert.equal((await kept.keeper.clientCertificate("a")).pairs.length, 1);
  assert.match((await kept.keeper.clientCertificate("c")).problem ?? "", /no certificate c/);
});

test("a folder gives each certificate with its key, and those of ACME clients behind their links", async () => {
  const a = await middle.issue(["a.example"]);
  const b = await middle.issue(["b.example"]);
  const live = await middle.issue(["live.example"]);
  await using kept = await keeping(
    {
      "certs/a.crt": a.certificatePem,
      "certs/a.key": a.keyPem,
      "certs/combined.pem": b.keyPem + b.certificatePem + middle.certificatePem,
      "certs/ca-bundle.pem": root.certificatePem,
      "certs/notes.txt": "x",
      "archive/live1/fullchain1.pem": live.certificatePem + middle.certificatePem,
      "archive/live1/privkey1.pem": live.keyPem,
    },
    (folder) => ({ certificates: [{ kind: "directory", directory: join(folder, "certs") }] }),
  );
  assert.deepEqual(await kept.namesOf(), ["ec a.example", "ec b.example"]);
  await mkdir(join(kept.folder, "certs", "live.example"));
  await symlink("../../archive/live1/fullchain1.pem", join(kept.folder, "certs/live.example/fullchain.pem"));
  await symlink("../../archive/live1/privkey1.pem", join(kept.folder, "certs/live.example/privkey.pem"));
  await kept.looks();
  assert.deepEqual(await kept.namesOf(), ["ec a.example", "ec b.example", "ec live.example"]);
  assert.deepEqual(kept.changes, ["certificates"]);
  await rm(join(kept.folder, "certs", "a.crt"));
  await kept.looks();
  assert.deepEqual(await kept.namesOf(), ["ec b.example", "ec live.example"]);
});

test("a renewed certificate is in force when both its files have come to rest; half of it never is", async () => {
  await using kept = await keeping(await pairFiles(["mx.example"], "mx"), oneFile);
  const before = (await kept.keeper.profile("smtp")).pairs[0];
  const renewed = await middle.issue(["mx.example", "new.example"]);
  await kept.write("mx.pem", renewed.certificatePem);
  await kept.clock.advance(1000);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await kept.write("mx.key", renewed.keyPem);
  await kept.looks();
  const after = (await kept.keeper.profile("smtp")).pairs[0];
  assert.deepEqual(after?.names, ["mx.example", "new.example"]);
  assert.notEqual(after.fingerprint, before?.fingerprint);
  assert.deepEqual(kept.changes, ["certificates"]);
  assert.deepEqual(
    kept.findings.map((finding) => finding.kind),
    ["taken"],
  );
});

test("a mended chain is a new version, also of the same length and in a table", async () => {
  const leaf = await middle.issue(["mx.example"]);
  // Another one of the same name and length: only its bytes differ.
  let other = await root.below("Middle CA");
  for (let tries = 0; other.certificatePem.length !== middle.certificatePem.length && tries < 100; tries++)
    other = await root.below("Middle CA");
  assert.equal(other.certificatePem.length, middle.certificatePem.length);
  const files = { "mx.pem": leaf.certificatePem + other.certificatePem, "mx.key": leaf.keyPem };
  await using kept = await keeping(
    { ...files, names: "mx.example.org mx.pem mx.key\n" },
    (folder) => ({
      certificates: [...oneFile(folder).certificates, { kind: "table", table: "names", directory: folder }],
    }),
    (folder) => ({ names: { kind: "file", file: join(folder, "names") } }),
  );
  const versionOf = async (): Promise<string> => {
    const answer = await kept.keeper.certificateFor("mx.example.org", "smtp");
    return answer.kind === "found" ? answer.version : answer.kind;
  };
  const before = await versionOf();
  await kept.write("mx.pem", leaf.certificatePem + middle.certificatePem);
  await kept.looks();
  assert.deepEqual(kept.changes, ["certificates"]);
  assert.ok((await kept.keeper.profile("smtp")).pairs[0]?.certificatePem.includes(middle.certificatePem.trim()));
  assert.deepEqual(
    kept.findings.map(({ kind }) => kind),
    ["taken"],
  );
  assert.notEqual(await versionOf(), before);
});

test("a broken new version is told once and keeps the one before, until it is mended", async () => {
  await using kept = await keeping(await pairFiles(["mx.example"], "mx"), oneFile);
  const before = await kept.keeper.profile("smtp");
  const other = await middle.issue(["mx.example"]);
  await kept.write("mx.key", other.keyPem);
  await kept.looks();
  await kept.looks();
  assert.deepEqual((await kept.keeper.profile("smtp")).pairs, before.pairs);
  assert.deepEqual(kept.changes, []);
  assert.equal(kept.findings.length, 1);
  assert.match(
    kept.findings[0]?.kind === "trouble" ? kept.findings[0].text : "",
    /mx\.key does not belong to the certificate; the version before stays in force$/,
  );
  await rm(join(kept.folder, "mx.pem"));
  await kept.looks();
  assert.equal((await kept.keeper.profile("smtp")).pairs.length, 1, "a file that is gone takes nothing away");
  await kept.write("mx.pem", other.certificatePem);
  await kept.looks();
  assert.deepEqual(kept.changes, ["certificates"]);
});

/** Until it is let go the file cannot be read, though its marks stay as they are: no descriptors, a file server that is away. */
function unreadable(file: string, isNow: () => boolean = () => true): Disposable {
  const { open } = fs;
  const set = (to: typeof open): void => {
    fs.open = to;
    syncBuiltinESMExports();
  };
  // Only the one file, and for the one call: all others are the true one's.
  set((...asked: Parameters<typeof open>) =>
    asked[0] === file && isNow()
      ? Promise.reject(Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" }))
      : open(...asked),
  );
  return { [Symbol.dispose]: () => set(open) };
}

test("what could not be read for a moment is read again by itself, and told once", async () => {
  await using kept = await keeping(
    { ...(await pairFiles(["mx.example"], "mx")), "ca.pem": root.certificatePem },
    (folder) => ({ ...oneFile(folder), authorities: [join(folder, "ca.pem")] }),
  );
  const { folder, keeper, findings, clock } = kept;
  const authorities = join(folder, "ca.pem");
  await keeper.anchors(authorities);
  const renewed = await middle.issue(["mx.example", "new.example"]);
  {
    using _certificate = unreadable(join(folder, "mx.pem"));
    using _authorities = unreadable(authorities);
    await kept.write("mx.key", renewed.keyPem);
    await kept.write("mx.pem", renewed.certificatePem);
    await kept.write("ca.pem", middle.certificatePem);
    await kept.looks();
    await clock.advance(60_000);
    await kept.looks();
    const told = findings.map((finding) => (finding.kind === "trouble" ? finding.text : ""));
    assert.equal(told.length, 2, told.join("\n"));
    for (const text of told)
      assert.match(text, /(mx|ca)\.pem cannot be read: EMFILE.*; the version before stays in force/);
    assert.deepEqual(kept.changes, []);
  }
  await clock.advance(60_000);
  await kept.looks();
  assert.deepEqual(await kept.namesOf(), ["ec mx.example,new.example"]);
  assert.deepEqual((await keeper.anchors(authorities)).pems, [middle.certificatePem]);
  assert.deepEqual(new Set(kept.changes), new Set(["anchors", "certificates"]));
});

test("what is broken waits for a change; what cannot be read is tried again less and less often", async () => {
  const reads = { broken: 0, away: 0 };
  for (const trouble of ["broken", "away"] as const) {
    await using kept = await keeping(
      {
        ...(await pairFiles(["mx.example"], "certs/mx")),
        "certs/other.key": `-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`,
      },
      (folder) => ({ certificates: [{ kind: "directory", label: undefined, directory: join(folder, "certs") }] }),
    );
    await kept.looks();
    // Which file is asked first says that the folder is read.
    using _reads = unreadable(join(kept.folder, "certs/other.key"), () => {
      reads[trouble]++;
      return trouble === "away";
    });
    if (trouble === "away") await kept.write("certs/other.key", "anything");
    for (let minutes = 0; minutes < 60; minutes += 3) {
      await kept.looks(2);
      await kept.clock.advance(180_000);
    }
    await kept.looks();
    assert.equal(kept.findings.length, trouble === "away" ? 2 : 1);
  }
  assert.equal(reads.broken, 0);
  assert.ok(reads.away >= 5 && reads.away <= 10, `${reads.away} times in an hour`);
});

test("a file that was given the wrong rights is read as soon as it has the right ones", async () => {
  await using kept = await keeping(await pairFiles(["mx.example"], "mx"), oneFile);
  const key = join(kept.folder, "mx.key");
  const renewed = await middle.issue(["mx.example", "new.example"]);
  let isReadable = false;
  // Root, who may run this, reads everything.
  using _rights = unreadable(key, () => !isReadable);
  await kept.write("mx.key", renewed.keyPem);
  await chmod(key, 0o000);
  await kept.write("mx.pem", renewed.certificatePem);
  await kept.looks();
  assert.equal(kept.findings.length, 1);
  isReadable = true;
  await chmod(key, 0o600);
  await kept.looks();
  assert.deepEqual(await kept.namesOf(), ["ec mx.example,new.example"]);
});

test("a certificate that expires soon is told of each day; at the start the check has done so", async () => {
  const files = await pairFiles(["mx.example"], "mx", Date.now() + 20 * DAY_MS + 3_600_000);
  await using kept = await keeping(files, oneFile);
  const ages = (): readonly string[] =>
    kept.findings.flatMap((finding) => (finding.kind === "age" ? [finding.text] : []));
  assert.deepEqual(ages(), []);
  for (const left of [19, 18]) {
    await kept.clock.advance(DAY_MS);
    await kept.looks();
    assert.equal(ages().at(-1), `expires in ${left} days`);
  }
  assert.equal(ages().length, 2);
});

test("certificates in a table are watched too: each that expires soon is told of daily, by its entry", async () => {
  const soon = await middle.issue(["soon.example"], { notAfterAt: Date.now() + 10 * DAY_MS + 3_600_000 });
  const late = await middle.issue(["late.example"], { notAfterAt: Date.now() + 300 * DAY_MS });
  const inline = (pair: { certificatePem: string; keyPem: string }): string =>
    (pair.certificatePem + pair.keyPem).replaceAll("\n", " ");
  await using kept = await keeping(
    { names: `late.example ${inline(late)}\nsoon.example ${inline(soon)}\n` },
    () => ({ certificates: [{ kind: "table", table: "names" }] }),
    (folder) => ({ names: { kind: "file", file: join(folder, "names") } }),
  );
  const ages = (): readonly string[] =>
    kept.findings.flatMap((finding) => (finding.kind === "age" ? [`${finding.source}: ${finding.text}`] : []));
  await kept.keeper.certificateFor("soon.example", "smtp");
  assert.deepEqual(ages(), [], "the check of the settings tells it at the start");
  for (const left of [9, 8]) {
    await kept.clock.advance(DAY_MS);
    await kept.looks();
    assert.equal(
      ages().at(-1),
      `${join(kept.folder, "names")}:2: the certificate of soon.example expires in ${left} days`,
    );
  }
  assert.equal(ages().length, 2);
});

test("a certificate of a table that cannot be gone through is told of when a client asks for it, once a day", async () => {
  const soon = await middle.issue(["soon.example"], { notAfterAt: Date.now() + 10 * DAY_MS + 3_600_000 });
  const value = (soon.certificatePem + soon.keyPem).replaceAll("\n", " ");
  const found = { kind: "found" as const, value, where: "names (remote)" };
  const remote: Table = {
    name: "names",
    lookup: async () => found,
    exact: async (key) => (key === "soon.example" ? found : { kind: "none" }),
    has: async () => ({ kind: "none" }),
    hasExact: async () => ({ kind: "none" }),
  };
  await using kept = await keeping(
    {},
    () => ({ certificates: [{ kind: "table", table: "names" }] }),
    () => ({}),
    new Map([["names", remote]]),
  );
  const ask = (): Promise<unknown> => kept.keeper.certificateFor("soon.example", "smtp");
  const ages = (): readonly string[] =>
    kept.findings.flatMap((finding) => (finding.kind === "age" ? [`${finding.source}: ${finding.text}`] : []));
  await ask();
  await ask();
  assert.deepEqual(ages(), ["names (remote): the certificate of soon.example expires in 10 days"]);
  await kept.clock.advance(DAY_MS);
  await ask();
  assert.equal(ages().length, 2);
});

test("a table knows certificates by name, wildcards for exactly one label; what fails is not nothing", async () => {
  const [exact, wild, inline] = [
    await middle.issue(["mx.example.org"]),
    await middle.issue(["*.example.org"]),
    await middle.issue(["pem.example.net"]),
  ];
  const rsa = await (await testAuthority("RSA CA", "rsa")).issue(["mx.example.org"]);
  const pem = (inline.certificatePem + inline.keyPem).replaceAll("\n", " ");
  await using kept = await keeping(
    {
      "tls/mx.pem": exact.certificatePem,
      "tls/mx.key": exact.keyPem,
      "tls/mx-rsa.pem": rsa.keyPem + rsa.certificatePem,
      "tls/wild/all.pem": wild.keyPem + wild.certificatePem,
      names: `mx.example.org mx.pem mx.key mx-rsa.pem\n*.example.org wild/all.pem\nbad.example.net no.pem\npem.example.net ${pem}\nout.example.net ../names\n`,
    },
    (folder) => ({
      certificates: [{ kind: "table", table: "names", directory: join(folder, "tls") }],
      listeners: [{ name: "smtp" }, { name: "other", certificates: ["x"] }],
    }),
    (folder) => ({ names: { kind: "file", file: join(folder, "names") } }),
  );
  const ask = async (name: string, listener = "smtp"): Promise<string> => {
    const answer = await kept.keeper.certificateFor(name, listener);
    if (answer.kind === "failed") return `failed: ${answer.text}`;
    return answer.kind === "none"
      ? "none"
      : answer.pairs.map((pair) => `${pair.keyKind} ${pair.names.join()}`).join(" ");
  };
  assert.equal(await ask("MX.example.org."), "ec mx.example.org rsa mx.example.org");
  assert.equal(await ask("a.example.org"), "ec *.example.org");
  assert.equal(await ask("a.b.example.org"), "none");
  assert.equal(await ask("example.org"), "none");
  assert.equal(await ask("pem.example.net"), "ec pem.example.net");
  assert.match(await ask("bad.example.net"), /^failed: \/.*names:3: .*no\.pem does not exist$/);
  assert.match(await ask("out.example.net"), /^failed: .*is outside of/);
  assert.equal(await ask("mx.example.org", "other"), "none", "a listener that names labels has not this table");
  // The default is there all the same.
  assert.deepEqual(await kept.namesOf(), ["ec mx.example.org,localhost"]);
  const told = JSON.stringify(kept.findings);
  assert.match(told, /no\.pem/);
  assert.doesNotMatch(told, /PRIVATE KEY/);

  await kept.write("names", "mx.example.org tls-is-broken\nx 10.0.0.1/8\n");
  for (let look = 0; look < 10; look++) {
    await kept.clock.advance(2000);
    await ask("mx.example.org");
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  assert.match(await ask("mx.example.org"), /tls-is-broken does not exist/);
});

test("authorities come from a file that the settings name or from the system; no other file is read", async () => {
  await using kept = await keeping({ "ca.pem": root.certificatePem, "other.pem": middle.certificatePem }, (folder) => ({
    authorities: [join(folder, "ca.pem"), join(folder, "missing.pem")],
  }));
  const { keeper, folder } = kept;
  assert.deepEqual((await keeper.anchors(join(folder, "ca.pem"))).pems, [root.certificatePem]);
  assert.match((await keeper.anchors(join(folder, "missing.pem"))).problem ?? "", /does not exist/);
  assert.match(
    (await keeper.anchors(join(folder, "other.pem"))).problem ?? "",
    /is read for nobody unless the settings name it, in `delivery\.tls\.ca-files` say/,
  );
  assert.ok((await keeper.anchors("system")).pems.length > 0);

  await kept.write("ca.pem", "broken");
  await kept.looks();
  assert.deepEqual((await keeper.anchors(join(folder, "ca.pem"))).pems, [root.certificatePem]);
  assert.deepEqual(kept.changes, []);
  await kept.write("ca.pem", middle.certificatePem);
  await kept.looks();
  assert.deepEqual((await keeper.anchors(join(folder, "ca.pem"))).pems, [middle.certificatePem]);
  assert.deepEqual(kept.changes, ["anchors"]);
});

test("a challenge of ACME is there while it is set, and never on the disk", async () => {
  await using kept = await keeping({}, () => ({}));
  const made = await root.issue(["acme.example"]);
  assert.match((await kept.keeper.setChallenge("other.example", made)) ?? "", /not for other\.example/);
  assert.equal(await kept.keeper.setChallenge("ACME.example", made), undefined);
  assert.deepEqual(
    (await kept.keeper.profile("smtp")).challenges.map(([name]) => name),
    ["acme.example"],
  );
  await assert.rejects(stat(join(kept.folder, "tls", "kept")));
  await kept.keeper.setChallenge("acme.example", undefined);
  assert.deepEqual((await kept.keeper.profile("smtp")).challenges, []);
});

test("a new ticket key is told, and is the same for every listener", async () => {
  await using kept = await keeping({}, () => ({ listeners: [{ name: "smtp" }, { name: "other" }] }));
  const first = (await kept.keeper.profile("smtp")).tickets;
  assert.deepEqual((await kept.keeper.profile("other")).tickets, first);
  await kept.clock.advance(3_600_000);
  assert.ok(kept.changes.includes("tickets"));
  assert.notDeepEqual((await kept.keeper.profile("smtp")).tickets.key, first.key);
});
