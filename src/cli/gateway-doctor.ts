import type { Log } from '../base/log.ts';
import { examine, type Finding, looksReady } from '../forge/gitlab/doctor.ts';
import { UpstreamClient } from '../forge/gitlab/client.ts';
import type { GatewayConfig } from '../gateway.ts';
import { addressesOf } from '../doors/listen.ts';
import type { Io } from './command.ts';

const colours = { ok: 32, warning: 33, problem: 31 } as const;

/** `jobpass gateway doctor`: 0 = nothing to change, or only warnings; 1 = it would not work. */
export async function runDoctor(config: GatewayConfig, io: Io, json: boolean): Promise<number> {
  const client = new UpstreamClient({ url: config.upstream, adminTokenFile: config.adminTokenFile, ca: config.upstreamCa });
  try {
    const named = [
      config.trustedRunners,
      config.distrustedRunners,
      config.vouchedRunners,
      config.assistedRunners,
      config.exposedRunners,
    ].flat();
    const signing = config.signedRunners.map(({ id }) => id);
    const findings = await examine(client, {
      upstream: config.upstream,
      external: addressesOf(config, config.listen[0]).url,
      allowPlainHttp: config.allowPlainHttp,
      principals: config.principals,
      acting: config.acting,
      namedRunners: [...named, ...signing],
      trustedRunners: [...config.trustedRunners, ...config.exposedRunners, ...signing],
      now: Date.now(),
    });
    io.out(json ? `${JSON.stringify({ findings })}\n` : printed(findings, io.terminal));
    return findings.some(({ level }) => level === 'problem') ? 1 : 0;
  } finally {
    await client.close();
  }
}

/**
 * At the start of a gateway: it serves whatever the forge says, which may still come up, but a wrong address or token must not show by the first job without a
 * pass only.
 */
export async function lookUpstream(config: GatewayConfig, log: Log): Promise<void> {
  const client = new UpstreamClient({ url: config.upstream, adminTokenFile: config.adminTokenFile, ca: config.upstreamCa });
  const why = await looksReady(client);
  if (why !== undefined)
    log.warn('gateway.upstream_not_ready', { why, message: 'no job gets a pass while that is so; `jobpass gateway doctor` says more' });
  await client.close();
}

/** One line a finding, and what to do below it. */
export function printed(findings: readonly Finding[], terminal: boolean): string {
  const widest = Math.max(...findings.map(({ what }) => what.length));
  const lines = findings.map(({ level, what, says, advice }) => {
    const word = level.padEnd(8);
    const shown = terminal ? `\u001b[${colours[level]}m${word}\u001b[0m` : word;
    return `${shown} ${what.padEnd(widest)}  ${says}\n${advice === undefined ? '' : `${' '.repeat(widest + 11)}${advice}\n`}`;
  });
  return lines.join('');
}
