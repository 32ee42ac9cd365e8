import type { PushPrefix } from './push-prefix.ts';

/** Of a pkt-line with its band. @see gitprotocol-common(5) */
const lineBytes = 65_515;
const flush = Buffer.from('0000');

function pkt(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
}

/**
 * A refused push in git's own words, ref by ref: of any status but 200 git shows its user the number alone, and that everything is up to date (R11).
 * @returns the body of the answer; undefined where the client asked for no report
 * @see gitprotocol-pack(5), "Report Status"
 */
export function refusedPush({ commands, capabilities }: Pick<PushPrefix, 'commands' | 'capabilities'>, why: string): Buffer | undefined {
  if (!capabilities.some((word) => word === 'report-status' || word === 'report-status-v2')) return undefined;
  const reason = why.replaceAll(/[\0-\x1f\x7f]/g, ' ');
  const lines = ['unpack ok\n', ...commands.map(({ ref }) => `ng ${ref} ${reason}\n`)];
  const report = Buffer.concat([...lines.map((line) => pkt(Buffer.from(line))), flush]);
  if (!capabilities.includes('side-band-64k')) return report;
  const parts: Buffer[] = [];
  for (let at = 0; at < report.length; at += lineBytes) parts.push(pkt(Buffer.concat([Buffer.of(1), report.subarray(at, at + lineBytes)])));
  return Buffer.concat([...parts, flush]);
}
