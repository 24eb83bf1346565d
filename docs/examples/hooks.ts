/**
 * Hooks of a small company. In posthorn.yaml:
 *
 *     filters:
 *       own: { module: ./hooks.ts }
 *     filtered-by: [own]
 */
import { addHeader, chooseAction, defer, defineHooks, quarantine, reject, rewriteSender, tag } from "posthorn";

const OFFICE = /^192\.0\.2\./;
const closedUntil = Date.parse("2026-01-02T08:00:00Z");

export default defineHooks({
  onConnect({ session }) {
    return OFFICE.test(session.client.address ?? "") ? tag("office") : undefined;
  },

  onMail({ session, sender }) {
    // Machines in the office call themselves anything; the world shall see one address.
    if (session.tags.includes("office") && sender.endsWith(".internal")) return rewriteSender("machines@example.org");
    return undefined;
  },

  onRcpt({ mail, recipient, state, now }) {
    if (recipient === "sales@example.org" && now < closedUntil) return defer(450, "4.2.0", "Sales is closed");
    // What one stage finds out, another one may use.
    state["isBulk"] = mail.recipients.length >= 20;
    return undefined;
  },

  async onMessage(mail) {
    if (mail.header("List-Unsubscribe") === undefined && mail.state["isBulk"] === true)
      return reject(550, "5.7.1", "Mail to so many needs a List-Unsubscribe field");
    if (/\binvoice\b/i.test(mail.subject) && /password[- ]protected/i.test(await mail.text()))
      return quarantine("an invoice with a password");
    return [
      addHeader("X-Seen-By", "hooks.ts"),
      ...(mail.subject.startsWith("[backup]") ? [chooseAction("archive")] : []),
    ];
  },
});
