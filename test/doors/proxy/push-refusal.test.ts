import { expect, test } from 'vitest';
import { refusedPush } from '../../../src/doors/proxy/push-refusal.ts';

const command = (ref: string) => ({ oldOid: '0' as never, newOid: '1' as never, ref: ref as never });
const commands = ['refs/heads/a', 'refs/tags/b'].map(command);
const report = '000eunpack ok\n001ang refs/heads/a no no\n0019ng refs/tags/b no no\n0000';

test('R11 a refused push is told ref by ref, on the band that the client asked for', () => {
  const said = (...capabilities: string[]) => refusedPush({ commands, capabilities }, 'no\nno')?.toString('latin1');
  expect(said('report-status')).toBe(report);
  expect(said('report-status-v2', 'side-band-64k')).toBe(`${(report.length + 5).toString(16).padStart(4, '0')}\u0001${report}0000`);
  expect(said('side-band-64k')).toBeUndefined();
});

test('a long report comes in lines that git takes', () => {
  const many = Array.from({ length: 2000 }, (_, index) => command(`refs/heads/${'x'.repeat(50)}${index}`));
  const said = refusedPush({ commands: many, capabilities: ['report-status', 'side-band-64k'] }, 'no')?.toString('latin1') ?? '';
  let [at, text] = [0, ''];
  for (let length = -1; length !== 0; at += length || 4) {
    length = Number.parseInt(said.slice(at, at + 4), 16);
    expect(length).toBeLessThanOrEqual(65_520);
    text += said.slice(at + 5, at + length);
  }
  expect([at, text.match(/ng refs/g)?.length]).toEqual([said.length, 2000]);
});
