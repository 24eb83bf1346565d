import { PosthornError } from "../error.ts";
import { tryFfi } from "./ffi.io.ts";

/**
 * Ends the process at this instant by _exit(2). Node's own exit first joins its thread pool, so it hangs while a thread
 * is stuck in a call that never returns (a full syslog socket, a dead file server). Without the C library the process
 * ends by SIGKILL, which no thread can delay either. Anything not yet written is lost: flush first.
 */
export function exitAtOnce(code: number): never {
  const ffi = tryFfi();
  if (!(ffi instanceof PosthornError)) ffi.declare("void _exit(int status)")(code);
  process.kill(process.pid, "SIGKILL");
  // The signal is delivered before the call returns to us; this line only tells the compiler so.
  throw new Error("still alive after SIGKILL");
}
