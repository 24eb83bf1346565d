import { requireFfi, type Koffi } from "./ffi.io.ts";

/** What PAM said: `status` of pam_authenticate(3) or pam_acct_mgmt(3), and its words. */
export interface PamAnswer {
  readonly step: "start" | "authenticate" | "account";
  /** By its name in pam_authenticate(3): `PAM_SUCCESS`, `PAM_AUTH_ERR`, `PAM_ACCT_EXPIRED`; `PAM_12` for one unknown to us. */
  readonly status: string;
  readonly text: string;
}

const PROMPT_ECHO_OFF = 1;
const PROMPT_ECHO_ON = 2;
const ITEM_RHOST = 4;
const ITEM_TTY = 3;
const ITEM_FAIL_DELAY = 10;
const SILENT = 0x8000;
const DISALLOW_NULL_AUTHTOK = 1;
const CONVERSATION_FAILED = 19;
/** PAM_MAX_NUM_MSG of _pam_types.h. */
const MOST_MESSAGES = 32;

const STATUS: Readonly<Record<number, string>> = {
  0: "PAM_SUCCESS",
  1: "PAM_OPEN_ERR",
  2: "PAM_SYMBOL_ERR",
  3: "PAM_SERVICE_ERR",
  4: "PAM_SYSTEM_ERR",
  5: "PAM_BUF_ERR",
  6: "PAM_PERM_DENIED",
  7: "PAM_AUTH_ERR",
  8: "PAM_CRED_INSUFFICIENT",
  9: "PAM_AUTHINFO_UNAVAIL",
  10: "PAM_USER_UNKNOWN",
  11: "PAM_MAXTRIES",
  12: "PAM_NEW_AUTHTOK_REQD",
  13: "PAM_ACCT_EXPIRED",
  19: "PAM_CONV_ERR",
  26: "PAM_ABORT",
  27: "PAM_AUTHTOK_EXPIRED",
  28: "PAM_MODULE_UNKNOWN",
};

interface Declared {
  readonly koffi: Koffi;
  readonly conversation: ReturnType<Koffi["proto"]>;
  readonly delay: ReturnType<Koffi["proto"]>;
  readonly message: ReturnType<Koffi["struct"]>;
  readonly response: ReturnType<Koffi["struct"]>;
}

let declared: Declared | undefined;

/** Types have names in koffi, and a name is given once. */
function declare(koffi: Koffi): Declared {
  const message = koffi.struct("PosthornPamMessage", { style: "int", text: "const char *" });
  const response = koffi.struct("PosthornPamResponse", { text: "void *", status: "int" });
  const conversation = koffi.proto(
    "int PosthornPamConversation(int count, void *messages, void *responses, void *data)",
  );
  const delay = koffi.proto("void PosthornPamDelay(int status, unsigned int microseconds, void *data)");
  koffi.struct("PosthornPamConv", { ask: koffi.pointer(conversation), data: "void *" });
  return { koffi, conversation, delay, message, response };
}

/**
 * Asks PAM whether the password is the user's, and whether the account may be used now. On this thread, which waits for
 * as long as the modules please: for threads that do nothing else. Modules that ask anything but the password and the
 * user's name get no answer.
 *
 * The delay that PAM makes after a wrong password is left out: whoever asks has a throttle of its own.
 *
 * Throws `LIBRARY_UNAVAILABLE` where there is no libpam.
 */
export function askPam(service: string, user: string, password: string): PamAnswer {
  const ffi = requireFfi("asking PAM");
  const libpam = ffi.library("libpam.so.0");
  const koffi = ffi.binding;
  declared ??= declare(koffi);
  const { message, response, conversation, delay } = declared;
  if (/\0/.test(`${service}${user}${password}`)) return { step: "start", status: "PAM_AUTH_ERR", text: "a NUL in it" };
  // Freed by libpam and its modules, so from the C library.
  const calloc = ffi.declare("void *calloc(size_t count, size_t size)");
  const strdup = ffi.declare("void *strdup(const char *text)");
  const start = libpam.declare(
    "int pam_start(const char *service, const char *user, PosthornPamConv *conversation, _Out_ void **handle)",
  );
  const setText = libpam.declare("int pam_set_item(void *handle, int item, const char *value)");
  const setDelay = libpam.declare("int pam_set_item(void *handle, int item, PosthornPamDelay *value)");
  const authenticate = libpam.declare("int pam_authenticate(void *handle, int flags)");
  const account = libpam.declare("int pam_acct_mgmt(void *handle, int flags)");
  const finish = libpam.declare("int pam_end(void *handle, int status)");
  const explain = libpam.declare("const char *pam_strerror(void *handle, int status)");
  /** C functions of this shape give a status. */
  const called = (status: unknown): number => (typeof status === "number" ? status : CONVERSATION_FAILED);

  const answerMessages = (count: number, messages: unknown, responses: unknown): number => {
    if (count < 1 || count > MOST_MESSAGES) return CONVERSATION_FAILED;
    const list = calloc(count, koffi.sizeof(response)) as Parameters<typeof koffi.encode>[0];
    const each = koffi.decode(messages, koffi.array("void *", count)) as readonly unknown[];
    for (const [at, place] of each.entries()) {
      const { style } = koffi.decode(place, message) as { readonly style: number };
      const text = style === PROMPT_ECHO_OFF ? password : style === PROMPT_ECHO_ON ? user : undefined;
      if (text !== undefined)
        koffi.encode(list, at * koffi.sizeof(response), response, { text: strdup(text), status: 0 });
    }
    koffi.encode(responses as Parameters<typeof koffi.encode>[0], "void *", list);
    return 0;
  };
  const ask = koffi.register((count: number, messages: unknown, responses: unknown): number => {
    try {
      return answerMessages(count, messages, responses);
    } catch {
      // Nothing may be thrown through C.
      return CONVERSATION_FAILED;
    }
  }, koffi.pointer(conversation));
  const noDelay = koffi.register(() => {}, koffi.pointer(delay));
  try {
    const handles: unknown[] = [null];
    // The declarations above say what these take; the general type knows no structures.
    const started = called((start as (...args: unknown[]) => unknown)(service, user, { ask, data: null }, handles));
    const [handle] = handles;
    if (started !== 0) return { step: "start", status: nameOf(started), text: "pam_start failed" };
    const withHandle = (call: unknown, ...args: unknown[]): unknown =>
      (call as (...args: unknown[]) => unknown)(handle, ...args);
    withHandle(setText, ITEM_TTY, "posthorn");
    withHandle(setText, ITEM_RHOST, "");
    withHandle(setDelay, ITEM_FAIL_DELAY, noDelay);
    let step: PamAnswer["step"] = "authenticate";
    let status = called(withHandle(authenticate, SILENT | DISALLOW_NULL_AUTHTOK));
    if (status === 0) {
      step = "account";
      status = called(withHandle(account, SILENT | DISALLOW_NULL_AUTHTOK));
    }
    const words = withHandle(explain, status);
    withHandle(finish, status);
    return { step, status: nameOf(status), text: typeof words === "string" ? words : "" };
  } finally {
    koffi.unregister(ask);
    koffi.unregister(noDelay);
  }
}

function nameOf(status: number): string {
  return STATUS[status] ?? `PAM_${status}`;
}
