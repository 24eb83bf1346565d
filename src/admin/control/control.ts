import type { AnswerOf, OperationName } from "./operations.ts";
import type { StreamName } from "./streams.ts";

/**
 * Control: the one way in which people and the console reach a running server.
 *
 *     posthorn, console → unix socket (protocol.ts) → operations.ts, streams.ts → Admin (admin.ts) → the roles
 *
 * Two sockets: `query.sock` answers questions, `control.sock` makes changes too. File mode and group decide who may use
 * which; every change is logged with the uid that the kernel tells. Invariants: nothing that a client sends ends the
 * process; lines, waiting requests, clients and the backlog of live events have bounds; each operation has a deadline.
 */
export interface ControlClient extends Disposable {
  /** Rejects with the server's error as a `PosthornError`, or `CONTROL_UNREACHABLE` when the server went away. */
  call<Name extends OperationName>(name: Name, args?: unknown): Promise<AnswerOf<Name>>;
  /** The portions of a stream. Ends with the stream; returning early closes the connection. */
  stream(name: StreamName, args?: unknown): AsyncGenerator<unknown, void, void>;
}
