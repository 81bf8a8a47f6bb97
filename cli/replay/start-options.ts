import { userInfo } from 'node:os';
import type { ReplayInput } from '../../workflows/replay';
import { parseGrace, parseRate, parseShare, parseSlices, splitRate, wrong } from './parse';
import { parseSelection, type SelectionFlags } from './selection';

export type StartOptions = Omit<ReplayInput, 'projection' | 'declaredVersion'>;

const text = (value: unknown): string => String(value as string);

/** What `replay start` was told, or a usage error: before anything is connected to. */
export function readStartOptions(options: Readonly<Record<string, unknown>>, projections: number): StartOptions {
  const flag = (name: string) => options[name] === true;
  const refuseTogether = (one: string, other: string) => {
    if (flag(camel(one)) && flag(camel(other))) throw wrong(`--${one} and --${other} exclude each other`);
  };
  refuseTogether('dry-run', 'switch');
  refuseTogether('rehearsal', 'switch');
  const asked = options['rate'] === undefined ? null : parseRate(text(options['rate']));
  return {
    selection: parseSelection(options as SelectionFlags),
    rate: splitRate(asked, projections),
    adaptive: options['adaptive'] !== false,
    slices: parseSlices(text(options['slices'])),
    switchWhenVerified: flag('switch'),
    tolerance: { maxDifferent: options['maxDifferent'] === undefined ? 0 : parseShare(text(options['maxDifferent'])) },
    graceMs: parseGrace(text(options['grace'])),
    reshape: flag('reshape'),
    rehearsal: flag('rehearsal'),
    actor: userInfo().username,
  };
}

const camel = (option: string): string => option.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
