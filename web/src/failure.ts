/** What went wrong, by a code that programs can act on and a text that tells people what to do. */

/** Which kind of failure; the texts may change, these do not. */
export type FailureCode =
  | "unsupported"
  | "network"
  | "reference"
  | "manifest"
  | "digest"
  | "wasm"
  | "csp"
  | "import"
  | "grant"
  | "patch"
  | "trap"
  | "time"
  | "memory";

/** The one error that leaves this package. */
export class Failure extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "OunceFailure";
    this.code = code;
  }
}

/** As it is, or wrapped: a component that throws has trapped. */
export const failure = (error: unknown, code: FailureCode = "trap"): Failure =>
  // By name: files that pages load one by one have the class each.
  (error as Error | undefined)?.name === "OunceFailure" ? (error as Failure) : new Failure(code, said(error), error);

/** What an error says. */
export const said = (error: unknown): string => (error instanceof Error ? error.message : `${error}`);
