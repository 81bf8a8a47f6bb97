import { makeMovingLine } from '../moving-line';
import type { Output } from '../output';

export interface Progress {
  readonly tell: (done: number, total: number) => void;
  readonly end: () => void;
}

/** How many commands of a demo are sent, how fast, and the time left. */
export function makeProgress(name: string, output: Output): Progress {
  const startedAt = Date.now();
  const line = makeMovingLine(output);
  return {
    tell: (done, total) => {
      const rate = done / Math.max(0.001, (Date.now() - startedAt) / 1000);
      const left = rate > 0 ? Math.ceil((total - done) / rate) : 0;
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      line.tell(`${name}  ${percent} %  ${done}/${total} commands  ${Math.round(rate)}/s  ${left} s left`);
    },
    end: line.end,
  };
}
