import type { Socket } from 'node:net';
import { type PlainRequest, plainRequest } from './request.ts';
import { PlainResponse } from './response.ts';

export interface PlainHandling {
  /** @returns false = it is for Node.js's own server */
  take(request: PlainRequest, response: PlainResponse): boolean;
  /** What comes on this connection from here on is for Node.js's own server, which has heard nothing of it yet. */
  handOver(socket: Socket): void;
}

/**
 * Reads a client's connection for as long as all that comes is plain; with the first piece that is not, Node.js's own server has it, that piece included, and
 * keeps it. One request at a time: what comes too early waits, unread.
 */
export class PlainConnection {
  readonly #socket: Socket;
  readonly #handling: PlainHandling;
  #response: PlainResponse | undefined;
  #early: Buffer | undefined;

  constructor(socket: Socket, handling: PlainHandling) {
    this.#socket = socket;
    this.#handling = handling;
  }

  read(): void {
    this.#socket
      .on('data', this.#heard)
      .on('drain', this.#drained)
      .on('end', this.#ended)
      .on('error', this.#failed)
      .on('close', this.#closed);
  }

  readonly #heard = (piece: Buffer): void => {
    if (this.#response === undefined) return this.#request(piece);
    this.#early = piece;
    this.#socket.pause();
  };

  #request(piece: Buffer): void {
    const request = plainRequest(piece, this.#socket);
    if (request === undefined) return this.#handOver(piece);
    const response = new PlainResponse(this.#socket, request.method === 'HEAD', !request.last);
    this.#response = response;
    response.on('close', this.#over);
    if (this.#handling.take(request, response)) return;
    this.#response = undefined;
    this.#handOver(piece);
  }

  readonly #over = (): void => {
    const keeps = this.#response?.shouldKeepAlive === true;
    this.#response = undefined;
    if (!keeps) {
      this.#early = undefined;
      this.#socket.destroySoon();
      return;
    }
    const early = this.#early;
    this.#early = undefined;
    if (early === undefined || this.#socket.destroyed) return;
    this.#socket.resume();
    this.#request(early);
  };

  #handOver(piece: Buffer): void {
    const socket = this.#socket;
    socket
      .off('data', this.#heard)
      .off('drain', this.#drained)
      .off('end', this.#ended)
      .off('error', this.#failed)
      .off('close', this.#closed);
    socket.pause();
    socket.unshift(piece);
    this.#handling.handOver(socket);
    socket.resume();
  }

  readonly #drained = (): void => this.#response?.drained();
  /** As Node.js's own server does: who says that nothing more comes wants nothing more. */
  readonly #ended = (): void => void this.#socket.end();
  readonly #failed = (): void => void this.#socket.destroy();
  readonly #closed = (): void => this.#response?.lost();
}
