import { milterPacket } from "./packet.ts";

/** What we say to a milter, packet by packet. */
export const milterCommand = {
  /** Macros for the command with this code, which follows. */
  macros: (code: string, macros: readonly (readonly [name: string, value: string])[]): Buffer =>
    milterPacket("D", Buffer.from(code, "latin1"), ...macros.flat()),

  connect: (hostname: string, client: MilterClient): Buffer => {
    if (client.family === "unknown") return milterPacket("C", hostname, Buffer.from("U", "latin1"));
    const family = { ip4: "4", ip6: "6", unix: "L" }[client.family];
    const port = Buffer.alloc(2);
    port.writeUInt16BE(client.port);
    return milterPacket("C", hostname, Buffer.from(family, "latin1"), port, client.address);
  },

  helo: (name: string): Buffer => milterPacket("H", name),
  /** The address in angle brackets, and the parameters. */
  mail: (sender: string, parameters: readonly string[]): Buffer => milterPacket("M", `<${sender}>`, ...parameters),
  rcpt: (recipient: string, parameters: readonly string[]): Buffer =>
    milterPacket("R", `<${recipient}>`, ...parameters),
  data: (): Buffer => milterPacket("T"),
  /** A command line that nobody knows. */
  unknown: (line: string): Buffer => milterPacket("U", line),
  /** Name and value without NUL, see `field-value.ts`. */
  header: (name: Uint8Array, value: Uint8Array): Buffer => milterPacket("L", name, NUL, value, NUL),
  endOfHeader: (): Buffer => milterPacket("N"),
  /** At most `BODY_CHUNK_BYTES`. */
  body: (chunk: Uint8Array): Buffer => milterPacket("B", chunk),
  endOfBody: (): Buffer => milterPacket("E"),
  /** The mail at work comes to nothing; no answer. */
  abort: (): Buffer => milterPacket("A"),
  /** The session is over; no answer. */
  quit: (): Buffer => milterPacket("Q"),
} as const;

export type MilterClient =
  | { readonly family: "ip4" | "ip6" | "unix"; readonly address: string; readonly port: number }
  | { readonly family: "unknown" };

const NUL = Uint8Array.of(0);
