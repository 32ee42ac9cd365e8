import type { Driver } from 'kysely';

/**
 * Makes a driver's end wait until every connection was given back. SQLite's would close below an open transaction; the PostgreSQL client's waits by itself, but
 * nobody tells it when a connection is given back, so that it would wait for ever.
 */
export function endWhenIdle<Of extends Driver>(driver: Of): Of {
  const acquire = driver.acquireConnection.bind(driver);
  const release = driver.releaseConnection.bind(driver);
  const destroy = driver.destroy.bind(driver);
  let used = 0;
  let idle: (() => void) | undefined;
  const givenBack = (): void => {
    used -= 1;
    if (used === 0) idle?.();
  };
  driver.acquireConnection = async (options) => {
    // Who stands in line for one counts, too.
    used += 1;
    try {
      return await acquire(options);
    } catch (error) {
      givenBack();
      throw error;
    }
  };
  driver.releaseConnection = async (connection, options) => {
    try {
      await release(connection, options);
    } finally {
      givenBack();
    }
  };
  driver.destroy = async (options) => {
    if (used > 0) await new Promise<void>((resolve) => (idle = resolve));
    await destroy(options);
  };
  return driver;
}
