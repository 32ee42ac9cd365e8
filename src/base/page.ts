/** A page of a list: `page` from 1, `perPage` at most limits.pageSize. */
export interface Page {
  readonly page: number;
  readonly perPage: number;
}

/** The rows of a page, and how many there are in all. */
export interface Paged<Row> {
  readonly rows: readonly Row[];
  readonly total: number;
}
