import { createHash } from 'node:crypto';
import { createTransport, type Transporter } from 'nodemailer';
import { GiveUp } from '../../model/reaction';
import type { Mail } from '../ports';

const SEND_MS_MAX = 5_000;
const FROM = 'Reprise shop <shop@example.com>';

/** Mail by SMTP. The Message-ID comes from the key, so that a mail sent twice is recognised wherever it arrives. */
export function smtpMail(url: () => string): Mail {
  let transport: Transporter | undefined;
  return {
    send: async ({ idempotencyKey, to, subject, text }, { signal }) => {
      signal.throwIfAborted();
      transport ??= createTransport(bounded(url()));
      try {
        await transport.sendMail({ messageId: messageIdOf(idempotencyKey), from: FROM, to, subject, text });
      } catch (error) {
        const { responseCode } = error as { readonly responseCode?: number };
        if (responseCode !== undefined && responseCode >= 500) {
          throw new GiveUp(`the mail server refuses it: ${responseCode}`, { cause: error });
        }
        throw new Error(`the mail server did not take it${responseCode ? `: ${responseCode}` : ''}`, { cause: error });
      }
    },
  };
}

// nodemailer reads its options from the URL alone when it is given one.
function bounded(address: string): string {
  const url = new URL(address);
  for (const wait of ['connectionTimeout', 'greetingTimeout', 'socketTimeout']) {
    if (!url.searchParams.has(wait)) url.searchParams.set(wait, String(SEND_MS_MAX));
  }
  return url.toString();
}

export const messageIdOf = (idempotencyKey: string): string =>
  `<${createHash('sha256').update(idempotencyKey).digest('hex')}@reprise>`;
