import type { TlsRole } from "../facts.ts";
import type { Direction, Flight, FlightEvent } from "./flight.ts";

/**
 * How far a handshake came, from the flight alone: `connected` nothing of the client's; `part-of-hello` a ClientHello that is
 * not whole; `hello` a ClientHello without an answer; `answered` the server's part, or the beginning of it; `finishing` the
 * client's answer to that.
 */
export type Stage = "connected" | "part-of-hello" | "hello" | "answered" | "finishing";

const STEPS_BESIDES = new Set(["Alert", "ChangeCipherSpec", "FIN", "RST", "timeout"]);
const IS_NO_TLS = new Set(["not TLS", "SSLv2", "oversized record"]);

export function stageOf(flight: Flight): Stage {
  const [client, server] = sidesOf(flight.role);
  const ofClient = flight.events.filter((event) => event.direction === client && isStep(event));
  const serverHello = flight.events.findIndex((event) => event.direction === server && event.what === "ServerHello");
  if (serverHello >= 0) {
    const after = flight.events.slice(serverHello + 1);
    return after.some((event) => event.direction === client && isStep(event)) ? "finishing" : "answered";
  }
  if (ofClient.some((event) => event.what === "ClientHello")) {
    return flight.events.some((event) => event.direction === server && isStep(event)) ? "answered" : "hello";
  }
  return ofClient.length > 0 ? "part-of-hello" : "connected";
}

/** The last step of one side, as its protocol names it. */
export function lastStep(flight: Flight, direction: Direction): FlightEvent | undefined {
  return flight.events.findLast((event) => event.direction === direction && isStep(event));
}

/** The same in words that stand in a sentence: `our ServerHelloDone`, `the client's ClientHello`. */
export function lastStepText(flight: Flight, direction: Direction): string | undefined {
  const step = lastStep(flight, direction);
  if (step === undefined) return undefined;
  const [, server] = sidesOf(flight.role);
  const whose = direction === "out" ? "our" : `the ${peerOf(flight.role)}'s`;
  if (step.what === "encrypted") {
    if (direction !== server) return `${whose} answer (encrypted)`;
    const isResumption = flight.serverHello?.isResumption === true;
    return isResumption ? `${whose} ServerHello` : `${whose} ServerHello and certificate`;
  }
  if (step.what.startsWith("part of")) {
    return `${step.what.replace(/^part of an? /, `part of ${whose} `)}${step.detail === undefined ? "" : ` (${step.detail})`}`;
  }
  return `${whose} ${step.what}`;
}

/** An alert that travelled in clear. */
export function clearAlert(flight: Flight, direction: Direction): number | undefined {
  const alerts = flight.events.filter((event) => event.direction === direction && event.what === "Alert");
  // The first fatal one says why; a close_notify behind it says nothing more.
  const telling = alerts.find((event) => event.detail?.startsWith("fatal") === true) ?? alerts[0];
  const number = /\((\d+)\)$/.exec(telling?.detail ?? "")?.[1];
  return number === undefined ? undefined : Number(number);
}

/** Bytes that are no TLS, by their beginning; escaped. */
export function foreignBytes(flight: Flight, direction: Direction): FlightEvent | undefined {
  return flight.events.find((event) => event.direction === direction && IS_NO_TLS.has(event.what));
}

export function peerOf(role: TlsRole): "client" | "server" {
  return role === "server" ? "client" : "server";
}

/** The direction of the client's bytes and of the server's. */
function sidesOf(role: TlsRole): readonly [Direction, Direction] {
  return role === "server" ? ["in", "out"] : ["out", "in"];
}

function isStep(event: FlightEvent): boolean {
  return (
    !STEPS_BESIDES.has(event.what) && !IS_NO_TLS.has(event.what) && (event.bytes > 0 || event.what.startsWith("part"))
  );
}
