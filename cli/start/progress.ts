import type { Output } from '../output';
import { makeProgressLine } from '../progress-line';

export interface Progress {
  readonly tell: (done: number, total: number) => void;
  readonly end: () => void;
}

/** How far the demo is. */
export function makeProgress(name: string, output: Output): Progress {
  const startedAt = Date.now();
  const { tell, end } = makeProgressLine(output);
  return {
    tell: (done, total) => {
      const rate = done / Math.max(0.001, (Date.now() - startedAt) / 1000);
      const left = rate > 0 ? Math.ceil((total - done) / rate) : 0;
      const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
      tell(`${name}  ${percent} %  ${done}/${total} commands  ${Math.round(rate)}/s  ${left} s left`);
    },
    end,
  };
}
