import type { engineRefusals, FailureCode } from '../contracts/message';

/** Where a read model stands for a command that was waited for. */
export type Waited = 'applied' | 'parked' | 'late';

/** The answer to a command. A refusal is a value; only a broken call throws. */
export type SendResult<Code extends string = string> = Accepted | Refused<Code> | Failed | Unknown;

interface Answered {
  readonly commandId: string;
  /** The entity's version at the answer, its own events included. */
  readonly version: number;
}
export interface Accepted extends Answered {
  readonly outcome: 'accepted';
  /** In order; empty when there was nothing to do. */
  readonly eventIds: readonly string[];
  /** The answer of an earlier send under this id. */
  readonly repeated: boolean;
  /** Per read model of `waitFor`: it shows this command, it holds the entity back, or it had not come so far by the deadline. */
  readonly waited: Readonly<Record<string, Waited>>;
}
export interface Refused<Code extends string> extends Answered {
  readonly outcome: 'refused';
  readonly code: Code | keyof typeof engineRefusals;
  /** For people. */
  readonly message: string;
  readonly repeated: boolean;
}
/** Not a verdict: nothing happened, and the same id and body sent again is decided anew. */
export interface Failed extends Answered {
  readonly outcome: 'failed';
  readonly code: FailureCode;
  readonly message: string;
}
/** The deadline passed before an answer came: it may or may not have happened. Send again under the same id to know. */
export interface Unknown {
  readonly outcome: 'unknown';
  readonly commandId: string;
  readonly message: string;
}

/** A command that cannot be sent as it is; nothing was. */
export class InvalidCommand extends Error {
  override readonly name = 'InvalidCommand';

  constructor(
    /** `reprise.command_invalid`, `reprise.command_unknown` or `reprise.command_too_large`. */
    readonly code: string,
    message: string,
    /** Where in the command's data, as paths like `lines.0.quantity`. */
    readonly issues: readonly { readonly path: string; readonly message: string }[] = [],
  ) {
    super(message);
  }
}

/** A posted command that Temporal did not take, or whose taking was not heard of by the deadline: send it again under this id. */
export class PostUnknown extends Error {
  override readonly name = 'PostUnknown';

  constructor(
    readonly commandId: string,
    why: string,
    options?: ErrorOptions,
  ) {
    super(
      `${why}: the command may or may not have been taken. Send it again under the same commandId: it happens once.`,
      options,
    );
  }
}
