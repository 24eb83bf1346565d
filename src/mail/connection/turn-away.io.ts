import type { Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";

/** How long a client may take to read why it is turned away. */
const LINGER_MS = 2000;
/** Whoever comes beyond these is let go without a word: what is kept for courtesy has an end, too. */
const MOST_LINGERING = 64;

/**
 * Tells clients of a unix socket in one line why nobody serves them, and closes. A client may have gone before, or go without reading:
 * that is an error of its socket, which is nobody's here and must end no process.
 */
export function turnAway(clock: Clock): (socket: Socket, text: string) => void {
  let lingering = 0;
  return (socket, text) => {
    socket.on("error", () => {});
    if (socket.destroyed) return;
    if (lingering >= MOST_LINGERING) {
      socket.destroy();
      return;
    }
    lingering++;
    const timer = clock.after(LINGER_MS, () => socket.destroy());
    socket.on("close", () => {
      lingering--;
      timer.cancel();
    });
    socket.end(text);
    // What it says meanwhile is not heard; its end is.
    socket.resume();
  };
}
