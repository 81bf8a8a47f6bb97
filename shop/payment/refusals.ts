/** Every "no" a payment says. */
export const refusals = {
  'payment.already_taken': 'A payment is captured, or fails, once.',
  'payment.not_captured': 'Only a captured payment can be refunded.',
  'payment.refund_too_large': 'No more can be refunded than was captured.',
} as const;
