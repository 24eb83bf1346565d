import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { exitCodes } from "./exit-codes.ts";
import type { World } from "./world.ts";

/**
 * Runs what is there for what it says: it ends with its reader. Who has read enough (`posthorn queue list | head`) is content;
 * what could not be written otherwise is an error, for whoever reads the rest would take it for all.
 */
export async function heard(
  program: string,
  { stdout, stderr }: Pick<World, "stdout" | "stderr">,
  run: () => Promise<number>,
): Promise<number> {
  const { lost } = stdout;
  const gone = Promise.withResolvers<number>();
  const onLost = (): void => gone.resolve(exitCodes.ok);
  lost.addEventListener("abort", onLost, { once: true });
  try {
    const status = await Promise.race([run(), gone.promise]);
    await stdout.flushed();
    if (!lost.aborted || status !== exitCodes.ok) return status;
  } catch (thrown) {
    if (!lost.aborted) throw thrown;
  } finally {
    lost.removeEventListener("abort", onLost);
  }
  if (systemCodeOf(lost.reason) === "EPIPE") return exitCodes.ok;
  stderr.write(
    `${program}: standard output cannot be written: ${messageOf(lost.reason)}; free space where it goes, or send it elsewhere\n`,
  );
  return exitCodes.ioError;
}
