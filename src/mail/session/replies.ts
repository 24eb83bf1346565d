import { prepareReply } from "../../protocol/smtp/reply-format.ts";
import { reply, type Reply } from "../../protocol/smtp/reply.ts";

/** Every reply of the server side that does not come from rules; codes of RFC 5321 section 4.2, statuses of RFC 3463. */
export const replies = {
  ok: reply(250, "2.0.0", "Ok"),
  senderOk: reply(250, "2.1.0", "Ok"),
  recipientOk: reply(250, "2.1.5", "Ok"),
  goAhead: reply(354, undefined, "End data with <CR><LF>.<CR><LF>"),
  bye: reply(221, "2.0.0", "Bye"),
  readyForTls: reply(220, "2.0.0", "Ready to start TLS"),
  cannotVerify: reply(252, "2.0.0", "Cannot say; send some mail and I will do my best"),
  authenticated: reply(235, "2.7.0", "Authentication successful"),

  unknownCommand: reply(500, "5.5.1", "Command not recognised"),
  notHttp: reply(554, "5.5.1", "This is not a web server"),
  badEncoding: reply(500, "5.5.2", "The line is not UTF-8, or holds control characters"),
  lineTooLong: reply(500, "5.5.2", "Line too long"),
  notImplemented: reply(502, "5.5.1", "Command not available here"),
  greetFirst: reply(503, "5.5.1", "Say EHLO first"),
  greetFirstLmtp: reply(503, "5.5.1", "Say LHLO first"),
  wrongGreeting: reply(500, "5.5.1", "This is LMTP; say LHLO"),
  wrongGreetingSmtp: reply(500, "5.5.1", "This is SMTP; say EHLO"),
  nestedMail: reply(503, "5.5.1", "A transaction is already open"),
  mailFirst: reply(503, "5.5.1", "Say MAIL first"),
  noRecipients: reply(554, "5.5.1", "No valid recipients"),
  noRecipientsLmtp: reply(503, "5.5.1", "No valid recipients"),
  chunksBegun: reply(503, "5.5.1", "BDAT has begun; go on with BDAT, or say RSET"),
  chunkFailed: reply(503, "5.5.1", "A chunk was refused; say RSET"),
  dataForBinary: reply(503, "5.5.1", "BODY=BINARYMIME needs BDAT"),
  transactionOpen: reply(503, "5.5.1", "Not during a mail transaction"),
  parametersNeedEhlo: reply(555, "5.5.4", "Parameters need EHLO"),
  spokeTooSoon: reply(554, "5.5.0", "You spoke before the greeting"),
  improperPipelining: reply(554, "5.5.0", "Improper command pipelining: wait for the reply to this command"),
  bareLineEndInCommand: reply(554, "5.5.2", "Bare CR or LF in a command; lines end with CRLF"),
  bareLineEndInContent: reply(550, "5.5.2", "Bare CR or LF in the message; lines end with CRLF"),

  tlsFirst: reply(530, "5.7.0", "Must issue a STARTTLS command first"),
  certificateFirst: reply(530, "5.7.0", "A client certificate is required here, and none was shown"),
  authenticateFirst: reply(530, "5.7.0", "Authentication required"),
  tlsBehindXclient: reply(503, "5.5.1", "STARTTLS comes before XCLIENT"),
  alreadyEncrypted: reply(503, "5.5.1", "TLS is already active"),
  tlsNotAvailable: reply(454, "4.7.0", "TLS not available at the moment"),
  alreadyAuthenticated: reply(503, "5.5.1", "Already authenticated"),
  encryptionForAuth: reply(538, "5.7.11", "Encryption required for authentication"),
  unknownMechanism: reply(504, "5.5.4", "Authentication mechanism not available"),
  authCancelled: reply(501, "5.7.0", "Authentication cancelled"),
  authMalformed: reply(501, "5.5.2", "Cannot decode the response"),
  wrongPassword: reply(535, "5.7.8", "Authentication credentials invalid"),
  cannotAuthenticate: reply(454, "4.7.0", "Temporary authentication failure"),
  loginsBlocked: reply(454, "4.7.0", "Too many failed authentications; come again later"),
  tooManyPasswords: reply(421, "4.7.0", "Too many failed authentications; closing"),

  paused: reply(450, "4.3.2", "Mail is not accepted at present; please come again later"),
  insufficientStorage: reply(452, "4.3.1", "Insufficient system storage"),
  messageTooBig: reply(552, "5.3.4", "Message size exceeds fixed limit"),
  headerTooBig: reply(552, "5.3.4", "Header section too large"),
  headerBroken: reply(550, "5.6.0", "The header has a line that is no field, and no empty line before the body"),
  contentLineTooLong: reply(554, "5.6.0", "A line of the message is too long"),
  filterLoop: reply(
    554,
    "5.4.6",
    "Mail loop: this came back to where it was sent to its content filter, which has to hand it to another listener",
  ),
  tooManyHops: reply(554, "5.4.6", "Too many hops; this looks like a mail loop"),
  notKept: reply(451, "4.3.0", "The message could not be kept; come again"),
  policyUnavailable: reply(451, "4.3.0", "Cannot decide at present; come again"),
  internationalSender: reply(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8"),
  internationalRecipient: reply(553, "5.6.7", "An address beyond ASCII needs SMTPUTF8 in MAIL"),
  tooManyRecipients: reply(452, "4.5.3", "Too many recipients; send the others in another transaction"),
  verpNotOffered: reply(555, "5.5.4", "XVERP is not offered here"),
  holdNotOffered: reply(555, "5.5.4", "FUTURERELEASE is not offered here"),
  holdTooLong: reply(501, "5.5.4", "The hold is longer than announced"),
  holdOver: reply(501, "5.5.4", "The hold ends in the past"),

  tooFast: reply(450, "4.7.1", "Too much mail from you at the moment; come again later"),
  tooFastClosing: reply(421, "4.7.0", "Too many commands from you at the moment; closing"),
  tooManyErrors: reply(421, "4.7.0", "Too many errors; closing"),
  tooManyIdleCommands: reply(421, "4.7.0", "Too many commands without mail; closing"),
  tooManyMessages: reply(421, "4.7.0", "Enough messages for one session; connect anew"),
  xclientRefused: reply(550, "5.7.0", "Not from you"),
  xclientMalformed: reply(501, "5.5.4", "An attribute's value is not right"),
} as const;

// Said in every session.
for (const often of [replies.senderOk, replies.recipientOk, replies.goAhead, replies.ok, replies.bye])
  prepareReply(often);

export function greeting(hostname: string, protocol: "smtp" | "submission" | "lmtp"): Reply {
  return reply(220, undefined, `${hostname} ${protocol === "lmtp" ? "LMTP" : "ESMTP"} Posthorn`);
}

/** `says`: in the mechanism's own words, what was wrong with the exchange. */
export function loginDenied(says: string | undefined): Reply {
  const { wrongPassword } = replies;
  return says === undefined ? wrongPassword : reply(535, "5.7.8", `Authentication credentials invalid (${says})`);
}

/** The client's operator is the one who can do something about it. */
export function certificateRefused(because: string | undefined): Reply {
  return reply(530, "5.7.0", `Your client certificate is not accepted: ${because ?? "it could not be verified"}`);
}

export function timeout(hostname: string): Reply {
  return reply(421, "4.4.2", `${hostname} Error: timeout exceeded`);
}

export function stopping(hostname: string): Reply {
  return reply(421, "4.3.2", `${hostname} is going down; come again`);
}

export function queued(message: string): Reply {
  return reply(250, "2.0.0", `Ok: queued as ${message}`);
}

/** RFC 6710 section 4.1. */
export function priorityChanged(priority: number): Reply {
  return reply(250, "2.3.6", `${priority} is the priority it gets`);
}

export function chunkReceived(octets: number): Reply {
  return reply(250, "2.0.0", `${octets} octets received`);
}
