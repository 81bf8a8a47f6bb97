/** Every refusal an entity knows: the code is the promise to callers, the sentence is for people. */
export type Refusals = Readonly<Record<string, string>>;

/** A business "no": a value, not an exception. */
export interface Refusal<Code extends string = string> {
  readonly kind: 'refusal';
  readonly code: Code;
}

/** Says no, with a code from the entity's list. */
export function refuse<const Code extends string>(code: Code): Refusal<Code> {
  return { kind: 'refusal', code };
}
