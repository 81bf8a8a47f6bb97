/** What of a mail matters to who keeps count of it. */
export interface Mail {
  readonly messageId: string | null;
  readonly subject: string;
  readonly body: string;
}

/** Reads a mail's lines (RFC 5322): headers, which may go on in lines that begin with a blank; an empty line; the body. */
export function parseMail(lines: readonly string[]): Mail {
  const end = lines.indexOf('');
  const head = lines.slice(0, end < 0 ? lines.length : end).join('\r\n');
  const headers = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n');
  const header = (name: string) =>
    headers.find((line) => line.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1);
  return {
    messageId: header('message-id')?.trim() || null,
    subject: header('subject')?.trim() ?? '',
    body: end < 0 ? '' : lines.slice(end + 1).join('\r\n'),
  };
}
