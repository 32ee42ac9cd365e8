import { describe } from 'vitest';
import { sshdInstalled, startSshd } from '../../support/sshd.ts';
import { executorSuite } from './suite.ts';

describe.skipIf(!sshdInstalled())('on a real sshd', () => {
  executorSuite('ssh', async () => {
    const sshd = await startSshd();
    const ssh = {
      host: '127.0.0.1',
      port: String(sshd.port),
      user: sshd.user,
      identity_file: sshd.identityFile,
      known_hosts_file: sshd.knownHostsFile,
    };
    return { scene: { executor: 'ssh', ssh }, close: () => sshd.close() };
  });
});
