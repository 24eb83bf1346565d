import { AsyncLocalStorage } from "node:async_hooks";

/**
 * What hooks let slip: a promise that nobody waits for and that rejects, a timer that throws. Node would end the process for
 * it. It is told as the hooks' own, by the context that it arose in; everything else ends the process as ever. An exit that they
 * call for is a failure of theirs.
 */
const running = new AsyncLocalStorage<(thrown: unknown) => void>();
let isInstalled = false;

/**
 * Gives what runs code of hooks; `tell` hears what slips out of it, then or later. The context is made once and entered again
 * and again, which is a fraction of what making it costs.
 */
export function strayCatcher(tell: (thrown: unknown) => void): <Value>(work: () => Value) => Value {
  if (!isInstalled) install();
  return running.run(tell, () => AsyncLocalStorage.snapshot());
}

function install(): void {
  isInstalled = true;
  const heard = (thrown: unknown): void => {
    const tell = running.getStore();
    // An error that is thrown here ends the process with its stack, as if nobody had listened.
    if (tell === undefined) throw thrown;
    tell(thrown);
  };
  process.on("unhandledRejection", heard);
  process.on("uncaughtException", heard);
  const exit = process.exit.bind(process);
  const exitUnlessHooks = (code?: number | string | null): never => {
    if (running.getStore() === undefined) return exit(code);
    const refusal = new Error(`process.exit(${code ?? ""}) would end the server`);
    // Its stack begins where the hooks called it.
    Error.captureStackTrace(refusal, exitUnlessHooks);
    throw refusal;
  };
  process.exit = exitUnlessHooks;
}
