import type { Judgement } from './judge.ts';

const colours = { unsafe: '\u001b[31m', ok: '\u001b[32m', off: '\u001b[0m' };

/** The verdict for people: the unsafe first, each with what to do, in columns. Holds keys and reasons, never a value. @param colour on a terminal */
export function formatFindings(judgement: Judgement, colour = false): string {
  const paint = (text: string, as: 'unsafe' | 'ok'): string => (colour ? `${colours[as]}${text}${colours.off}` : text);
  const findings = judgement.findings.toSorted((one, other) => Number(one.safe) - Number(other.safe));
  const places = findings.map(({ key, runner }) => `${key === '' ? 'the file' : key}${runner === '' ? '' : ` (${runner})`}`);
  const width = places.reduce((widest, place) => Math.max(widest, Math.min(60, place.length)), 0);
  const lines = findings.flatMap(({ safe, reason, remedy }, index) => {
    const place = (places[index] ?? '').padEnd(width);
    const word = safe ? paint('ok    ', 'ok') : paint('unsafe', 'unsafe');
    const line = `  ${word}  ${place}  ${reason}`;
    return remedy === undefined ? [line] : [line, `          ${' '.repeat(width)}  -> ${remedy}`];
  });
  const conclusion =
    judgement.verdict === 'expose'
      ? `verdict: ${paint('expose', 'ok')} (a job may see its pass when it asks for it)`
      : `verdict: ${paint('withhold', 'unsafe')} (no job of this host sees its pass)`;
  return `${[...lines, conclusion].join('\n')}\n`;
}
