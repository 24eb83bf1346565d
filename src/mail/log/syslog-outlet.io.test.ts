import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import { tryFfi } from "../../foundation/ffi/ffi.io.ts";

// syslog(3) knows one address, /dev/log. A mount namespace gives a child a /dev of its own, with a log that is ours.
const canUnshare = spawnSync("unshare", ["-rm", "true"]).status === 0;
const hasPython = spawnSync("python3", ["--version"]).status === 0;
const skip =
  tryFfi() instanceof PosthornError
    ? "koffi is missing"
    : !canUnshare
      ? "unshare(1) is missing or not allowed"
      : !hasPython
        ? "python3 is missing"
        : false;

const listener = `
import socket, sys, time
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
log.bind("/dev/log")
open("ready", "w").close()
if sys.argv[1] == "deaf": time.sleep(600)
with open("received", "wb") as out:
    while True:
        line = log.recv(65536)
        if line.endswith(b"THE END"): break
        out.write(line + b"\\n")
`;

/** Runs `program` as a Node module beside a log that listens, is deaf, or is there when the file `wanted` is. What the log heard and the child printed. */
function withLog(
  kind: "listening" | "deaf" | "late",
  program: string,
): { heard: string; printed: string; code: number | null } {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-syslog-"));
  try {
    const script = `
      mkdir dev && touch dev/null && mount --bind /dev/null dev/null && mount --rbind dev /dev || exit 90
      { until test ${kind} != late || test -e wanted; do sleep 0.02; done; exec python3 -c "$LISTENER" ${kind} >/dev/null; } &
      until test ${kind} = late || test -e ready; do sleep 0.02; done
      printf %s "$PROGRAM" > program.mjs; "$NODE" program.mjs; code=$?
      { test ${kind} = deaf && kill $!; wait $!; } 2>/dev/null; exit $code`;
    const run = spawnSync("unshare", ["-rm", "sh", "-c", script], {
      cwd: directory,
      encoding: "utf8",
      timeout: 60_000,
      env: {
        PATH: process.env["PATH"] ?? "",
        NODE: process.execPath,
        LISTENER: listener,
        PROGRAM: `import { syslogOutlet } from ${JSON.stringify(new URL("syslog-outlet.io.ts", import.meta.url))};
          import { exitAtOnce } from ${JSON.stringify(new URL("../../foundation/ffi/exit.io.ts", import.meta.url))};
          ${program}`,
      },
    });
    assert.equal(run.stderr, "");
    return {
      heard: kind === "deaf" ? "" : readFileSync(join(directory, "received"), "latin1"),
      printed: run.stdout,
      code: run.status,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const line = "const line = (level, speaker, text) => ({ level, speaker, number: 42, text });";

test(
  "lines reach the system's log in order, with facility, speaker and number, and nothing in them is a format",
  { skip },
  () => {
    const { heard, printed } = withLog(
      "listening",
      `${line}
     const log = syslogOutlet();
     await log.send([line("info", "master", "100% of %s and %n"), line("error", "smtpd", "bad")]);
     await log.send(Array.from({ length: 3000 }, (_, n) => line("debug", "qmgr", "line " + n)));
     await log.send([line("info", "master", "THE END")]);
     await log.close();
     console.log("closed");`,
    );
    assert.equal(printed, "closed\n");
    const lines = heard.trimEnd().split("\n");
    // mail is facility 2: 2 * 8 + 6 = 22 for info, 19 for err, 23 for debug.
    assert.match(lines[0] ?? "", /^<22>.{15} posthorn\/master\[42\]: 100% of %s and %n$/);
    assert.match(lines[1] ?? "", /^<19>.{15} posthorn\/smtpd\[42\]: bad$/);
    assert.deepEqual(
      lines.slice(2).map((heardLine) => heardLine.replace(/^<23>.*: /, "")),
      Array.from({ length: 3000 }, (_, n) => `line ${n}`),
    );
  },
);

test("without a system's log the lines are refused, for whoever keeps them, until there is one", { skip }, () => {
  const { heard, printed } = withLog(
    "late",
    `${line}
     import { existsSync, writeFileSync } from "node:fs";
     const log = syslogOutlet();
     const lines = [line("info", "master", "here")];
     await log.send(lines).catch((thrown) => console.log(thrown.message));
     writeFileSync("wanted", "");
     while (!existsSync("ready")) await new Promise((resolve) => setTimeout(resolve, 20));
     await log.send(lines);
     await log.send([line("info", "master", "THE END")]);
     await log.close();`,
  );
  assert.equal(printed, "there is no /dev/log: the system's log does not run\n");
  assert.match(heard, /^<22>.{15} posthorn\/master\[42\]: here\n$/);
});

test(
  "a log that takes nothing blocks neither the event loop nor, by exitAtOnce, the end of the process",
  { skip },
  () => {
    const { printed, code } = withLog(
      "deaf",
      `${line}
     const log = syslogOutlet();
     let isSent = false;
     await log.send([line("info", "master", "there is room for this one")]);
     log.send(Array.from({ length: 2000 }, (_, n) => line("info", "master", n + " ".padEnd(200, "x")))).then(() => { isSent = true; }, () => {});
     // The loop turns while nothing is taken: a call that blocked it would not come back while the log is deaf.
     for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 25));
     console.log(JSON.stringify({ isSent }));
     exitAtOnce(7);`,
    );
    assert.deepEqual(JSON.parse(printed), { isSent: false });
    assert.equal(code, 7);
  },
);
