import { startOpensmtpd } from "../peers/opensmtpd.ts";
import { relaySuite } from "../peers/relay-suite.ts";

relaySuite({
  name: "opensmtpd",
  domain: "opensmtpd.test",
  start: startOpensmtpd,
  notices: "plain text",
  hasSmtpUtf8: false,
  breaksTls: true,
});
