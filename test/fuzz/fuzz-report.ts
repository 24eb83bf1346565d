/** What a fuzzing thread is told and what it tells. */
export interface FuzzOrder {
  readonly name: string;
  readonly ms: number;
  readonly seed: number;
  /** Int32: runs so far, length of the input; then its bytes. */
  readonly shared: SharedArrayBuffer;
}

export type FuzzReport =
  | { readonly kind: "ended"; readonly runs: number; readonly features: number; readonly paths: readonly Uint8Array[] }
  | { readonly kind: "broken" | "slow"; readonly bytes: Uint8Array; readonly what: string };

export const SHARED_HEAD_BYTES = 8;
