/**
 * Mail exchangers are at port 25 of addresses that are not our own, which one machine's loopback cannot show. As root on
 * Linux a test file can run in a network namespace of its own, where 198.51.100.0/24 and 2001:db8::/32 are this
 * machine's and nothing else can be reached.
 */
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const MARK = "POSTHORN_OWN_NETWORK";
const ROUTES =
  "ip link set lo up && ip route add local 198.51.100.0/24 dev lo && ip -6 route add local 2001:db8::/32 dev lo";

/** Runs the calling file again in a network of its own, as one test; there, declares the tests. */
export function inOwnNetwork(file: string, declare: () => void): void {
  if (process.env[MARK] === "1") {
    declare();
    return;
  }
  test("in a network of its own", (t) => {
    const missing = whatIsMissing();
    if (missing !== undefined) {
      if (process.env["POSTHORN_REQUIRE_PEERS"] === "1") throw new Error(missing);
      t.skip(missing);
      return;
    }
    const env = { ...process.env, [MARK]: "1" };
    // The runner above would otherwise take what we print for its own protocol.
    Reflect.deleteProperty(env, "NODE_TEST_CONTEXT");
    const run = spawnSync(
      "unshare",
      [
        "--net",
        "sh",
        "-c",
        `${ROUTES} && exec "$@"`,
        "sh",
        process.execPath,
        "--test",
        "--test-isolation=none",
        "--test-reporter=spec",
        file,
      ],
      { env, encoding: "utf8", timeout: 200_000 },
    );
    if (run.status !== 0) throw new Error(`${run.stdout}${run.stderr}`);
    t.diagnostic(run.stdout);
  });
}

function whatIsMissing(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "a network of its own needs root on Linux";
  const tried = spawnSync("unshare", ["--net", "sh", "-c", ROUTES], { encoding: "utf8", timeout: 10_000 });
  return tried.status === 0 ? undefined : `a network of its own cannot be had (unshare, ip): ${tried.stderr}`;
}
