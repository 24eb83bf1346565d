import { spawn } from "node:child_process";
import { inPeer } from "../test/peers/running.ts";

/** Debian's smtp-source: `messages` over `sessions` parallel sessions; gives the seconds it took. Throws when it fails. */
export async function smtpSource(options: {
  port: number;
  sessions: number;
  messages: number;
  bytes: number;
  /** Many messages a session, or one each. */
  keepsSession: boolean;
  recipient: string;
}): Promise<number> {
  const [program, argv] = inPeer("postfix", [
    "smtp-source",
    ...(options.keepsSession ? ["-d"] : []),
    "-s",
    String(options.sessions),
    "-m",
    String(options.messages),
    "-l",
    String(options.bytes),
    "-f",
    "sender@bench.test",
    "-t",
    options.recipient,
    `127.0.0.1:${options.port}`,
  ]);
  const startedAt = performance.now();
  const child = spawn(program, argv, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => (errors += bytes.toString()));
  const status = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  const tookS = (performance.now() - startedAt) / 1000;
  if (status !== 0 || errors.includes("fatal")) throw new Error(`smtp-source failed (${status}): ${errors}`);
  return tookS;
}
