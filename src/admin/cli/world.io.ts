import { randomUUID } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { constants, hostname, userInfo } from "node:os";
import { basename, resolve } from "node:path";
import { createInterface } from "node:readline";
import { Writable, type Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { JournalQuery } from "../../mail/log/journal-query.io.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { newWish } from "../../foundation/new-wish.ts";
import { damageText, isDamaged } from "../../foundation/damaged-database.io.ts";
import { unnamedUser } from "../../foundation/unnamed-user.ts";
import { connectControl } from "../control/client.io.ts";
import { dialledOver } from "./sendmail/dialled.io.ts";
import { dropFile } from "./sendmail/drop-file.io.ts";
import { outputTo } from "./output.io.ts";
import type { Caller, Dialled, InjectionPlace, OpenJournal, World } from "./world.ts";

/** The world as it is: the process's streams, the machine's names. What only the server's parts know is handed in. */
export function systemWorld(
  parts: Pick<
    World,
    | "version"
    | "catalogue"
    | "locate"
    | "checkSettings"
    | "restore"
    | "simulate"
    | "listSimulations"
    | "adviseDomains"
    | "autoconfig"
    | "explain"
    | "lookupTable"
    | "aliasFiles"
    | "testPolicy"
    | "comparePolicy"
    | "makeSigningKey"
    | "checkSigning"
  >,
): World {
  const interrupted = new AbortController();
  const isNewWish = newWish(systemClock);
  const onInterrupt = (): AbortSignal => {
    // Only who asks for it changes what SIGINT does.
    if (process.listenerCount("SIGINT") === 0)
      process.on("SIGINT", () => {
        if (!isNewWish()) return;
        // Who asks twice does not want to wait.
        if (interrupted.signal.aborted) process.exit(128 + constants.signals.SIGINT);
        interrupted.abort();
      });
    return interrupted.signal;
  };
  return {
    ...parts,
    stdin: process.stdin,
    stdout: outputTo(process.stdout),
    stderr: outputTo(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    now: () => Date.now(),
    offsetMinutes: (at) => -new Date(at).getTimezoneOffset(),
    hostname: hostname().toLowerCase(),
    uniqueId: randomUUID,
    caller: caller(),
    calledAs: basename(process.argv[1] ?? "").replace(/\.[jt]s$/, ""),
    connectControl,
    openJournal,
    saveFile: (path, bytes) => writeFile(resolve(path), bytes, { flag: "wx", mode: 0o600 }),
    // Loaded when it is asked for: other commands need no TLS.
    probeTls: async (...given) => (await import("./tls/tls-probe.io.ts")).probeTls(...given),
    makeMap: async (source, ...rest) =>
      (await import("../../service/table/cdb/make-cdb.io.ts")).makeCdb(resolve(source), ...rest),
    checkAliases: async (file) => (await import("../../service/table/cdb/make-cdb.io.ts")).checkAliases(resolve(file)),
    hashPassword: async (...given) =>
      (await import("../../service/account/hash-password.io.ts")).hashPassword(...given),
    readSecret: (prompt) => readSecret(process.stdin, prompt),
    drop: dropFile,
    dial,
    get interrupted() {
      return onInterrupt();
    },
    async sleep(forMs) {
      await wait(forMs, undefined, { signal: onInterrupt() }).catch(() => {});
    },
  };
}

function caller(): Caller {
  const isRoot = process.getuid?.() === 0;
  try {
    const { username, uid } = userInfo();
    return { name: username, fullName: fullNameOf(uid), isRoot };
  } catch {
    // A user id without an entry in the password file, as containers have them.
    return { name: unnamedUser(process.getuid?.() ?? -1), isRoot };
  }
}

/** The first part of the GECOS field. */
function fullNameOf(uid: number): string | undefined {
  try {
    const line = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((entry) => entry.split(":")[2] === String(uid));
    const name = line?.split(":")[4]?.split(",")[0]?.trim();
    return name === "" ? undefined : name;
  } catch {
    return undefined;
  }
}

function openJournal(path: string): OpenJournal {
  const told = <Value>(work: () => Value): Value => {
    try {
      return work();
    } catch (thrown) {
      throw isDamaged(thrown) ? new Error(damageText(path, thrown), { cause: thrown }) : thrown;
    }
  };
  const query = told(() => {
    try {
      return new JournalQuery(path);
    } catch (thrown) {
      // SQLite says only that it could not be opened.
      throw refusedReading(path) ?? thrown;
    }
  });
  return {
    story: (question, options) => told(() => query.story(question, options)),
    tls: (question) => told(() => query.tls(question)),
    sql: (text) => told(() => query.sql(text)),
    inputs: (fromAt) => query.inputs(fromAt),
    [Symbol.dispose]: () => query.close(),
  };
}

/** Of the database or what belongs to it. */
function refusedReading(path: string): PosthornError | undefined {
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    try {
      closeSync(openSync(file, "r"));
    } catch (cause) {
      const code = systemCodeOf(cause);
      if (code !== "EACCES" && code !== "EPERM") continue;
      return new PosthornError("PRIVILEGES", {
        message: `this user may not read the journal ${path}`,
        advice:
          "plain SQL reads the file itself: use the server's user or root; or is there another settings file (-f)?",
        cause,
      });
    }
  }
  return undefined;
}

/** One line; on a terminal nothing of it is shown. */
async function readSecret(stdin: Readable & { readonly isTTY?: boolean }, prompt: string): Promise<string> {
  const isTerminal = stdin.isTTY === true;
  if (isTerminal) process.stderr.write(prompt);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  // As a terminal, readline takes over the echo; what it echoes goes nowhere.
  const lines = createInterface({ input: stdin, output: nowhere, terminal: isTerminal });
  try {
    for await (const line of lines) return line;
    return "";
  } finally {
    lines.close();
    if (isTerminal) process.stderr.write("\n");
  }
}

async function dial(place: InjectionPlace, limitMs: number): Promise<Dialled> {
  const socket = "path" in place ? connect(place.path) : connect(place.port, place.host);
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(limitMs) });
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
  return dialledOver(socket);
}
