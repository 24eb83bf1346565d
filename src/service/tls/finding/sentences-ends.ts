import { lastStepText } from "../flight/progress.ts";
import { alertAside, askedFor, duration, peer, PROBE, theAlert, whereItStood } from "./sentence-parts.ts";
import type { Case, Sentences, Told } from "./sentence-parts.ts";
import { groupName } from "../flight/wire-names.ts";

/** Failures that are ends: alerts, a closed connection, a reset, silence. */
export const endSentences: Sentences<
  | "decrypt-error"
  | "peer-alert"
  | "peer-cancelled"
  | "peer-closed"
  | "peer-closed-mid-record"
  | "peer-reset"
  | "stalled"
  | "cut-by-us"
  | "other"
> = {
  "decrypt-error": (about) => ({
    fault: "unknown",
    sentence:
      about.alert?.from === "peer"
        ? `The ${peer(about)} could not verify a signature or a handshake message of ours (${alertAside(about)}).`
        : `A signature or handshake message of the ${peer(about)} does not fit its certificate or what was said before.`,
    cure: "A key that does not belong to its certificate, or bytes changed on the way. Check the certificate and key of the side that signs; try from another network.",
  }),
  "peer-alert": peerAlert,
  "peer-cancelled": (about) => ({
    fault: "peer",
    sentence: `The ${peer(about)} gave the handshake up of its own will (${alertAside(about)}), ${whereItStood(about)}.`,
    cure: "Usually a user or a program that changed its mind; look at it only if it does so each time.",
  }),
  "peer-closed": (about) => ended(about, `closed the TCP connection (FIN)`),
  "peer-closed-mid-record": (about) =>
    ended(about, `closed the TCP connection (FIN)${about.stage === "part-of-hello" ? "" : " inside a TLS record"}`),
  "peer-reset": (about) => ended(about, "reset the TCP connection (RST)"),
  stalled: (about) => stalled(about),
  "cut-by-us": (about) => ({
    fault: "ours",
    sentence: `We ended the connection ${about.phase === "handshake" ? whereItStood(about) : `after ${duration(about.afterMs)}`}${about.context?.detail === undefined ? ", for a reason that is not TLS" : ` (${about.context.detail})`}.`,
    cure: "Nothing, if the server was stopping or a limit was reached; the lines before this one say which.",
  }),
  other: (about) => ({
    fault: "unknown",
    sentence: `TLS failed ${about.phase === "handshake" ? whereItStood(about) : `after ${duration(about.afterMs)}`}${about.words === undefined ? "" : `: ${about.words}`}.`,
    cure: `Look at the steps (\`posthorn tls show\`); a trace of the next connection shows more. ${about.role === "client" ? PROBE : ""}`.trim(),
  }),
};

function peerAlert(about: Case): Told {
  const number = about.alert?.number ?? -1;
  const cure =
    about.role === "client"
      ? PROBE
      : "The client's own log may say more; `posthorn tls show` has the steps, and a trace of the next connection shows all bytes.";
  if (number === 40 && about.role === "client" && about.stage !== "answered" && about.stage !== "finishing") {
    return {
      fault: "unknown",
      sentence: `The server refused our ClientHello with ${theAlert(about)}: it shares no cipher, group or signature algorithm with us, or has no certificate to show; it does not say which.`,
      cure,
    };
  }
  if (number === 80) {
    return {
      fault: "peer",
      sentence: `The ${peer(about)} met an error of its own (${alertAside(about)}), ${whereItStood(about)}.`,
      cure: "Its log says more; it may pass by itself.",
    };
  }
  if (number === 86) {
    return {
      fault: "peer",
      sentence: `The ${peer(about)} refused because an older TLS version was tried than both can speak (${alertAside(about)}): a protection against downgrades.`,
      cure: "Somebody on the way breaks newer handshakes, or an earlier failure made the client try less; look at the failures before this one.",
    };
  }
  return {
    fault: "unknown",
    sentence: `The ${peer(about)} broke the handshake off with ${theAlert(about)}${MEANINGS[number] === undefined ? "" : `, which means: ${MEANINGS[number]}`}, ${whereItStood(about)}.`,
    cure,
  };
}

const MEANINGS: Readonly<Record<number, string>> = {
  10: "a message came that was not due",
  22: "a record was too long",
  40: "no acceptable set of parameters was found",
  47: "a field was out of range or inconsistent",
  49: "access was denied",
  50: "a message could not be read",
  60: "a key was longer than allowed",
  109: "an extension that has to be there was missing",
  110: "an extension came that was not asked for",
  113: "the stapled certificate status was bad",
  115: "the session to resume is not known",
};

/**
 * A transport that ended in the handshake, without an alert. What it came after says most about why. How a connection ends
 * later, and what that means, is told by its `Closing`.
 */
function ended(about: Case, what: string): Told {
  return about.role === "server" ? clientEnded(about, what) : serverEnded(about, what);
}

function clientEnded(about: Case, what: string): Told {
  const sentence = `The client ${what} ${whereItStood(about)}, without an alert${askedFor(about)}`;
  if (about.stage === "answered" || about.stage === "finishing") {
    return {
      fault: "unknown",
      sentence: `${sentence}; only the client knows why, and most that leave here do not accept our certificate.`,
      cure: "Check with `posthorn tls probe` whether the certificate has the name the client asked for and a complete chain; then see the client's own log.",
    };
  }
  if (about.stage === "part-of-hello") {
    return {
      fault: "peer",
      sentence: `${sentence}; it was stopped, or the network lost it.`,
      cure: "Leave it while it is rare; when one address does it again and again, it is a scanner.",
    };
  }
  return {
    fault: "peer",
    sentence: `${sentence}.`,
    cure: "A client that gave up before the answer: look for delays of this server (its load, a slow table), else a check.",
  };
}

function serverEnded(about: Case, what: string): Told {
  const isAfterHello = about.stage === "hello" || about.stage === "part-of-hello" || about.stage === "connected";
  return {
    fault: "unknown",
    sentence: `The server ${what} ${whereItStood(about)}, without an alert: ${
      isAfterHello
        ? "it has no working TLS there, or cannot take our ClientHello"
        : hasShownCertificate(about)
          ? "most servers that leave here do not accept our client certificate; only its own log can say"
          : "it did not accept what we sent last, or failed; only its own log can say"
    }.`,
    cure: isAfterHello
      ? `${PROBE} A variant that works (an older version, no post-quantum group) names the culprit.`
      : PROBE,
  };
}

/** As a client of TLS 1.2, where it is seen. */
function hasShownCertificate({ stage, flight }: Case): boolean {
  const shown = flight.events.find((event) => event.direction === "out" && event.what === "Certificate");
  return stage === "finishing" && shown?.detail !== undefined && shown.detail !== "none";
}

function stalled(about: Case): Told {
  const deadline = duration(about.context?.deadlineMs ?? about.afterMs);
  const who = peer(about);
  if (about.role === "server" && about.stage === "connected") {
    return {
      fault: "peer",
      sentence: `The client sent nothing where its ClientHello was due, for ${deadline}: it waits for a greeting, so it is set to plaintext or STARTTLS, or it is no mail client.`,
      cure: "Set the client to implicit TLS (SSL/TLS) for this port, or to STARTTLS on port 587 or 25.",
    };
  }
  if (about.role === "client" && about.stage === "hello") {
    const hybrid = about.flight.hello?.keyShares.includes(4588) === true ? ` and its ${groupName(4588)} key share` : "";
    const size = about.flight.bytes.out;
    return {
      fault: "unknown",
      sentence: `The server did not answer our ClientHello (${size} bytes) within ${deadline}${size > 1400 ? ": it hangs, or something on the way drops a ClientHello larger than one packet" : ": it hangs, or waits for plaintext"}.`,
      cure:
        size > 1400
          ? `Try without what makes it large (TLS 1.3${hybrid}). ${PROBE}`
          : `Check the port and the scheme of the relay: smtps:// is for ports of implicit TLS only. ${PROBE}`,
    };
  }
  return {
    fault: "unknown",
    sentence: `The ${who} went silent in mid-handshake: nothing more came within ${deadline}${silentAfter(about)}.`,
    cure: `A ${who} that hangs, or a network that loses packets of full size (MTU)${about.role === "server" ? "; else a scanner that holds connections open" : ""}.`,
  };
}

function silentAfter(about: Case): string {
  const theirs = lastStepText(about.flight, "in")?.replace(`the ${peer(about)}'s`, "its");
  if (theirs?.startsWith("part of") === true) return ` after a ${theirs}`;
  const whose =
    about.stage === "finishing" ? theirs : lastStepText(about.flight, about.role === "server" ? "out" : "in");
  return whose === undefined ? "" : ` after ${whose.replace(`the ${peer(about)}'s`, "its")}`;
}
