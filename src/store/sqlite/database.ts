import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely';
import type { Connections, RunSql } from '../database.ts';
import { endWhenIdle } from '../end-when-idle.ts';
import type { Schema } from '../schema.ts';

const cachedStatements = 500;

/**
 * node:sqlite in the shape that Kysely's SQLite dialect asks for, with prepared statements kept (two to three times the look-ups a second),
 * and `begin` made `begin immediate`: upgrading a read transaction is what still meets BUSY.
 */
function adapt(database: DatabaseSync): SqliteDatabase {
  const cache = new Map<string, SqliteStatement>();
  const rollback = () => {
    if (database.isTransaction) database.exec('rollback');
    return { changes: 0, lastInsertRowid: 0 };
  };
  return {
    close: () => {
      cache.clear();
      database.close();
    },
    prepare: (text) => {
      const known = cache.get(text);
      if (known !== undefined) return known;
      const prepared = wrap(database.prepare(text === 'begin' ? 'begin immediate' : text));
      // Of a full disk SQLite has rolled back itself; a second time is an error, which would stand in the place of the one that tells why.
      const statement = text === 'rollback' ? { ...prepared, run: rollback } : prepared;
      if (cache.size >= cachedStatements) cache.clear();
      cache.set(text, statement);
      return statement;
    },
  };
}

function wrap(statement: StatementSync): SqliteStatement {
  const values = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...values(parameters)),
    run: (parameters) => statement.run(...values(parameters)),
    iterate: (parameters) => statement.iterate(...values(parameters)) as IterableIterator<unknown>,
  };
}

class Dialect extends SqliteDialect {
  override createDriver() {
    return endWhenIdle(super.createDriver());
  }
}

/** One connection that writes and one that reads: a read never waits for an open transaction, and sees the last committed state. */
export function openSqlite(path: string): Connections {
  // Made here so that nobody else may read it; SQLite gives its log and index the same mode.
  closeSync(openSync(path, 'a', 0o600));
  const open = (readOnly: boolean): { readonly kysely: Kysely<Schema>; readonly run: RunSql } => {
    const database = new DatabaseSync(path, { timeout: 10_000, readOnly });
    // A log of 16 MB (4 KiB a page): each commit of the trail writes the same few pages again, and carrying them over costs flushes of its own.
    if (!readOnly)
      database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma wal_autocheckpoint = 4000;');
    const adapted = adapt(database);
    return {
      kysely: new Kysely<Schema>({ dialect: new Dialect({ database: adapted }) }),
      run: (text, parameters) => adapted.prepare(text).all(parameters),
    };
  };
  const writer = open(false);
  const reader = open(true);
  return { writer: writer.kysely, reader: reader.kysely, direct: { writer: writer.run, reader: reader.run } };
}

export const sqliteTypes = { identity: 'integer primary key autoincrement', millis: 'integer', bytewise: 'text' } as const;
