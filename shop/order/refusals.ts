/** Every "no" an order says. The code is the promise to callers, the sentence is for people. */
export const refusals = {
  'order.not_created': 'There is no such order yet.',
  'order.already_created': 'The order exists.',
  'order.too_large': 'The total is more than can be counted exactly.',
  'order.already_paid': 'The order has been paid, and is paid once.',
  'order.wrong_amount': 'An order is paid in full: its total and its freight.',
  'order.not_paid': 'Only a paid order can be shipped.',
  'order.already_shipped': 'The goods have left.',
  'order.cancelled': 'The order was cancelled.',
  'order.not_cancelled': 'Only the payment of a cancelled order is late.',
} as const;
