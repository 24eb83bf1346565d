/** What rules, `posthorn explain` and the log call the socket for users of this host. */
export const LOCAL_LISTENER = "local";
/** Whose rights no table bounds: whoever can change all settings anyway. */
export const TRUSTED_ACCOUNT = "root";
