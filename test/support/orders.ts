import { createOrder, payOrder, shipOrder } from '../../shop/order/contract';

const LINES = [{ productId: '11', unitPriceMinor: 1_400, quantity: 12, discountPercent: 0 }];

/** 168.00 and no freight. */
export const DUE_MINOR = 16_800;

export const create = () =>
  createOrder({ customerId: 'VINET', currency: 'EUR', terms: 'account', lines: LINES, freightMinor: 0 });
export const pay = () => payOrder({ amountMinor: DUE_MINOR });
export const ship = () => shipOrder({ carrier: 'DHL' });
