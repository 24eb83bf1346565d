import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PosthornError } from "../error.ts";
import { tryFfi } from "./ffi.io.ts";

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
if sys.argv[1] == "deaf": time.sleep(60)
with open("received", "wb") as out:
    while True:
        line = log.recv(65536)
        if line.endswith(b"THE END"): break
        out.write(line + b"\\n")
`;

/** Runs `program` as a Node module beside a log that listens, or is deaf. What the log heard and the child printed. */
function withLog(kind: "listening" | "deaf", program: string): { heard: string; printed: string; code: number | null } {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-syslog-"));
  try {
    const script = `
      mkdir dev && touch dev/null && mount --bind /dev/null dev/null && mount --rbind dev /dev || exit 90
      python3 -c "$LISTENER" ${kind} >/dev/null & while ! test -e ready; do sleep 0.02; done
      "$NODE" --input-type=module -e "$PROGRAM"; code=$?
      { test ${kind} = deaf && kill $!; wait $!; } 2>/dev/null; exit $code`;
    const run = spawnSync("unshare", ["-rm", "sh", "-c", script], {
      cwd: directory,
      encoding: "utf8",
      timeout: 20_000,
      env: {
        PATH: process.env["PATH"] ?? "",
        NODE: process.execPath,
        LISTENER: listener,
        PROGRAM: `import { openSyslog } from ${JSON.stringify(new URL("syslog.io.ts", import.meta.url))};
          import { exitAtOnce } from ${JSON.stringify(new URL("exit.io.ts", import.meta.url))};
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

test(
  "lines reach the system's log in order, with facility, speaker and process id, and nothing in them is a format",
  { skip },
  () => {
    const { heard, printed } = withLog(
      "listening",
      `const log = openSyslog("posthorn/master", "mail");
     log.log("info", "100% of %s and %n");
     log.log("err", "cut\\0here", "posthorn/smtpd");
     for (let n = 0; n < 3000; n++) log.log("debug", "line " + n);
     log.log("info", "THE END");
     console.log(process.pid, await log.close(), log.dropped());`,
    );
    const [pid, ...rest] = printed.trim().split(" ");
    assert.deepEqual(rest, ["true", "0"]);
    const lines = heard.trimEnd().split("\n");
    // mail is facility 2: 2 * 8 + 6 = 22 for info, 19 for err, 23 for debug.
    assert.match(lines[0] ?? "", new RegExp(`^<22>.{15} posthorn/master\\[${pid}\\]: 100% of %s and %n$`));
    assert.match(lines[1] ?? "", new RegExp(`^<19>.{15} posthorn/smtpd\\[${pid}\\]: cut\\\\0here$`));
    assert.deepEqual(
      lines.slice(2).map((line) => line.replace(/^<23>.*: /, "")),
      Array.from({ length: 3000 }, (_, n) => `line ${n}`),
    );
  },
);

test(
  "a log that takes nothing blocks neither the event loop nor, by exitAtOnce, the end of the process",
  { skip },
  () => {
    const startedAt = performance.now();
    const { printed, code } = withLog(
      "deaf",
      `const log = openSyslog("posthorn/master", "mail", 500);
     let longest = 0, last = performance.now();
     const beat = setInterval(() => { longest = Math.max(longest, performance.now() - last); last = performance.now(); }, 5);
     for (let n = 0; n < 20; n++) {
       for (let m = 0; m < 100; m++) log.log("info", "line " + "x".repeat(200));
       await new Promise((resolve) => setTimeout(resolve, 10));
     }
     const isClosed = await log.close(200);
     console.log(JSON.stringify({ isClosed, dropped: log.dropped() > 1000, waiting: log.waiting() <= 500, longest: longest < 1000 }));
     exitAtOnce(7);`,
    );
    assert.deepEqual(JSON.parse(printed), { isClosed: false, dropped: true, waiting: true, longest: true });
    assert.equal(code, 7);
    assert.ok(performance.now() - startedAt < 10_000);
  },
);
