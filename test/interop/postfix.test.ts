import { startPostfix } from "../peers/postfix.ts";
import { relaySuite } from "../peers/relay-suite.ts";

relaySuite({
  name: "postfix",
  domain: "postfix.test",
  start: (options) =>
    startPostfix({
      ...options,
      settings: ["smtpd_recipient_restrictions = check_recipient_access inline:{nobody@postfix.test=REJECT}"],
    }),
  notices: "standard",
  hasSmtpUtf8: true,
  bdatInLog: /bdat=\d/,
});
