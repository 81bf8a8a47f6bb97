import { connect as connectTcp, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy that can swallow what the server says (the message arrives, its acknowledgement does not), or be away. */
export class Proxy {
  private swallowing = false;
  private isAway = false;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async to(port: number): Promise<Proxy> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const proxy = new Proxy(server, (server.address() as AddressInfo).port);
    server.on('connection', (near) => proxy.join(near, connectTcp({ port, host: '127.0.0.1' })));
    return proxy;
  }

  private join(near: Socket, far: Socket): void {
    if (this.isAway) return void [near, far].forEach((socket) => socket.on('error', () => undefined).destroy());
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
    }
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => {
      if (!this.swallowing) near.write(bytes);
    });
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }

  /** Ends of connections that are open, two for each. */
  get open(): number {
    return [...this.sockets].filter(({ destroyed }) => !destroyed).length;
  }

  swallow(): void {
    this.swallowing = true;
  }

  /** As a server that was stopped: every connection ends, and none is taken. */
  goAway(): void {
    this.isAway = true;
    this.endAll();
  }

  /** What was swallowed is lost for good: its connections end. */
  heal(): void {
    this.swallowing = false;
    this.isAway = false;
    this.endAll();
  }

  private endAll(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  async close(): Promise<void> {
    this.heal();
    await new Promise((done) => this.server.close(done));
  }
}
