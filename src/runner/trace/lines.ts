/** Puts gitlab-runner's timestamps before the lines of a trace: `<RFC 3339, microseconds>Z 00O ` and `00O+` where a line goes on (FF_TIMESTAMPS). */
export class LineStamper {
  readonly #now: () => Date;
  #atStart = true;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  write(bytes: Buffer): Buffer {
    if (bytes.length === 0) return bytes;
    const stamp = Buffer.from(`${this.#now().toISOString().slice(0, -1)}000Z 00O `, 'latin1');
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      if (this.#atStart) parts.push(stamp);
      const newline = bytes.indexOf(10, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      parts.push(bytes.subarray(at, end));
      this.#atStart = newline >= 0;
      at = end;
    }
    return Buffer.concat(parts);
  }
}
