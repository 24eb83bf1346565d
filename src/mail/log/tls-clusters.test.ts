import assert from "node:assert/strict";
import { test } from "node:test";
import type { TlsReason } from "../../service/tls/finding/finding.ts";
import { clusterFailures } from "./tls-clusters.ts";
import type { FailureRow, NextConnection } from "./tls-journal.ts";

const NIGHT = Date.UTC(2026, 10, 21, 3);
const MINUTE = 60_000;

let lastId = 0;
function failure(at: number, more: Partial<FailureRow> & { reason?: TlsReason } = {}): FailureRow {
  const { reason = "version-mismatch", ...row } = more;
  const address = row.address ?? "192.0.2.1";
  return {
    id: ++lastId,
    at,
    session: `submission-${lastId}`,
    direction: "in",
    peer: `unknown[${address}]`,
    address,
    place: "submission",
    ja4: "t10i070600_c6fd6f9e0f22_e7d705a3286e",
    certificate: "ab12",
    wasUp: false,
    finding: {
      reason,
      role: "server",
      fault: "peer",
      sentence: `because ${reason}`,
      cure: `cure ${reason}`,
      afterMs: 3,
    },
    ...row,
  };
}

const next = (how: NextConnection["how"], mails = 0, after?: string): NextConnection => ({
  at: 1,
  session: "s",
  how,
  mails,
  after,
});

test("failures of one cause, place, certificate and client software are one cluster, whoever the peers are", () => {
  const rows = [
    failure(NIGHT, { address: "192.0.2.1" }),
    failure(NIGHT + 1000, { address: "192.0.2.2" }),
    failure(NIGHT + 2000, { address: "192.0.2.2" }),
    failure(NIGHT + 3000, { reason: "plain-smtp", ja4: undefined }),
    failure(NIGHT + 4000, { place: "smtp" }),
    failure(NIGHT + 5000, { certificate: "cd34" }),
    failure(NIGHT + 6000, { ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1" }),
  ];
  const clusters = clusterFailures(rows, [], NIGHT, false);
  assert.deepEqual(
    clusters.map(({ count, reason, place }) => [count, reason, place]),
    [
      [3, "version-mismatch", "submission"],
      [1, "version-mismatch", "submission"],
      [1, "version-mismatch", "submission"],
      [1, "version-mismatch", "smtp"],
      [1, "plain-smtp", "submission"],
    ],
  );
  assert.deepEqual(clusters[0]?.peers, [
    { peer: "unknown[192.0.2.2]", address: "192.0.2.2", count: 2 },
    { peer: "unknown[192.0.2.1]", address: "192.0.2.1", count: 1 },
  ]);
  assert.deepEqual(clusters[0]?.newest, [rows[2]?.id, rows[1]?.id, rows[0]?.id]);
  assert.equal(clusters[0]?.sentence, "because version-mismatch");
  assert.equal(clusters[0]?.cure, "cure version-mismatch");
});

test("a cluster that began after a reload names the reload, and no change of another hour", () => {
  const reload = { at: NIGHT - 2 * MINUTE, what: "reload", text: "settings reloaded" };
  const old = { at: NIGHT - 50 * MINUTE, what: "certificate", text: "another certificate" };
  const later = { at: NIGHT + 5 * MINUTE, what: "start", text: "the server started" };
  const rows = [failure(NIGHT), failure(NIGHT + 20 * MINUTE)];
  const [cluster] = clusterFailures(rows, [old, reload, later], NIGHT - 60 * MINUTE, false);
  assert.deepEqual([cluster?.beganAt, cluster?.justThen], [NIGHT, [reload]]);
});

test("it began when it came back after a long silence, not when the cause was first ever seen", () => {
  const rows = [
    failure(NIGHT - 30 * 60 * MINUTE),
    failure(NIGHT),
    failure(NIGHT + MINUTE),
    failure(NIGHT + 2 * MINUTE),
  ];
  const [cluster] = clusterFailures(rows, [], NIGHT - 48 * 60 * MINUTE, false);
  assert.deepEqual([cluster?.beganAt, cluster?.earlierRuns], [NIGHT, 1]);
});

test("a peer that fails once a day has one run, for a day is its usual silence", () => {
  const rows = [0, 1, 2, 3].map((day) => failure(NIGHT + day * 24 * 60 * MINUTE));
  const [cluster] = clusterFailures(rows, [], NIGHT, false);
  assert.deepEqual([cluster?.beganAt, cluster?.earlierRuns], [NIGHT, 0]);
});

test("failures before the time asked for tell when it began and are not counted", () => {
  const rows = [0, 10, 20, 30].map((minute) => failure(NIGHT + minute * MINUTE));
  const [cluster] = clusterFailures(rows, [], NIGHT + 15 * MINUTE, false);
  assert.deepEqual([cluster?.count, cluster?.beganAt], [2, NIGHT]);
  assert.deepEqual(clusterFailures(rows, [], NIGHT + 40 * MINUTE, false), []);
});

test("where older rows exist that were not read, the beginning is said to be uncertain", () => {
  const rows = [failure(NIGHT), failure(NIGHT + MINUTE)];
  assert.equal(clusterFailures(rows, [], NIGHT, true)[0]?.mayHaveBegunEarlier, true);
  assert.equal(clusterFailures(rows, [], NIGHT, false)[0]?.mayHaveBegunEarlier, false);
});

test("what the peers did next is counted: worked, in plaintext and left, failed again, never seen", () => {
  const rows = [
    failure(NIGHT, { next: next("tls", 1, "DATA") }),
    failure(NIGHT + 1, { next: next("tls") }),
    failure(NIGHT + 2, { next: next("plaintext", 0, "MAIL") }),
    failure(NIGHT + 3, { next: next("plaintext", 0, "MAIL") }),
    failure(NIGHT + 4, { next: next("plaintext", 2, "DATA") }),
    failure(NIGHT + 5, { next: next("failed") }),
    failure(NIGHT + 6),
  ];
  assert.deepEqual(clusterFailures(rows, [], NIGHT, false)[0]?.next, {
    tls: 2,
    withMail: 2,
    plaintext: 3,
    leftAfter: { MAIL: 2 },
    failedAgain: 1,
    none: 1,
  });
});
