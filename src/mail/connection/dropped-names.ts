/** Names that `writeDropped`'s files get: chance that nobody guesses, so that nobody else opens them. */
export const DROPPED_NAME = /^[A-Za-z0-9_-]{22,64}\.mail$/;
/** While they are being written. */
export const UNFINISHED_NAME = /^\.[A-Za-z0-9_-]{22,64}\.part$/;
